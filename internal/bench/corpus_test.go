//go:build bench

// Package bench measures nodeseal against the tools that people use today, on
// images made of this machine's own files. make bench-mirror runs it.
package bench

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/testenv"
	"github.com/nodeseal/nodeseal/internal/testregistry"
)

// cacheVar names the directory that keeps the images between runs; without it
// it is nodeseal-bench in the directory for temporary files.
const cacheVar = "NODESEAL_BENCH_CACHE"

// corpus is a set of images in a registry.
type corpus struct {
	content    *testregistry.Content
	refs       []string // repository@digest
	compressed int64    // of the different layers
	plain      int64
	layers     []testregistry.Layer
	names      []string // of the layers
}

// maker makes layers, or takes those of an earlier run.
type maker struct {
	t       testing.TB
	dir     string
	content *testregistry.Content
	known   map[string]testregistry.Layer
	seen    map[string]bool
	corpus  *corpus
	// renewed names the layers that get a file more.
	renewed map[string]bool
}

// cacheDir is where the images are kept.
func cacheDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv(cacheVar)
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "nodeseal-bench")
	}
	check(t, os.MkdirAll(dir, 0o755))
	return dir
}

func newMaker(t testing.TB) *maker {
	t.Helper()
	dir := cacheDir(t)
	m := &maker{t: t, dir: dir, content: testregistry.NewContent(dir), known: make(map[string]testregistry.Layer), seen: make(map[string]bool)}
	m.corpus = &corpus{content: m.content}
	data, err := os.ReadFile(filepath.Join(dir, "known.json"))
	if !errors.Is(err, fs.ErrNotExist) {
		check(t, err)
		check(t, json.Unmarshal(data, &m.known))
	}
	return m
}

func (m *maker) layer(name string, make func() (testregistry.Layer, error)) testregistry.Layer {
	if m.renewed[name] {
		before := make
		name += ", renewed"
		make = func() (testregistry.Layer, error) { return m.renew(before) }
	}
	l, ok := m.known[name]
	if !ok {
		var err error
		l, err = make()
		check(m.t, err)
		m.known[name] = l
		data, err := json.Marshal(m.known)
		check(m.t, err)
		check(m.t, os.WriteFile(filepath.Join(m.dir, "known.json"), data, 0o644))
	}
	if !m.seen[l.Digest.String()] {
		m.seen[l.Digest.String()] = true
		m.corpus.compressed += l.Size
		m.corpus.plain += l.Plain
		m.corpus.layers = append(m.corpus.layers, l)
		m.corpus.names = append(m.corpus.names, name)
	}
	return l
}

// renew makes a layer once more, with a file more in front.
func (m *maker) renew(make func() (testregistry.Layer, error)) (_ testregistry.Layer, err error) {
	l, err := make()
	if err != nil {
		return l, err
	}
	blob, err := os.Open(filepath.Join(m.dir, l.Digest.Encoded()))
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, blob.Close()) }()
	plain, err := gzip.NewReader(blob)
	if err != nil {
		return l, err
	}
	return m.content.AddTar(func(w *tar.Writer) error {
		const body = "renewed\n"
		if err := w.WriteHeader(&tar.Header{Name: "etc/renewed", Mode: 0o644, Size: int64(len(body)), Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		if _, err := io.WriteString(w, body); err != nil {
			return err
		}
		old := tar.NewReader(plain)
		for {
			hdr, err := old.Next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err == nil {
				err = w.WriteHeader(hdr)
			}
			if err == nil {
				_, err = io.Copy(w, old)
			}
			if err != nil {
				return err
			}
		}
	})
}

func (m *maker) image(name string, layers ...testregistry.Layer) {
	name = strings.ReplaceAll(name, "+", "x")
	d, err := m.content.AddImage("bench/"+name, layers)
	check(m.t, err)
	m.corpus.refs = append(m.corpus.refs, "bench/"+name+"@"+d.String())
}

// debian returns images of Debian packages and the Go tree: a base that all
// share, a second layer that some share, and one of their own.
func debian(t testing.TB, images int) *corpus {
	t.Helper()
	return renewed(t, images, nil)
}

// renewed is debian some time later: the layers that are named have a file more.
func renewed(t testing.TB, images int, names map[string]bool) *corpus {
	t.Helper()
	m := newMaker(t)
	m.renewed = names
	p := listPackages(t)
	apps := slices.DeleteFunc(p.others, func(a item) bool { return a.kib <= 1500 || a.kib >= 220<<10 })
	testenv.Require(t, len(apps) > 20, "the benchmark needs a Debian with some packages")
	bottom, second := m.shared(p)
	for _, part := range []string{"src", "pkg", "bin", "test"} {
		path := filepath.Join(runtime.GOROOT(), part)
		m.image("go-"+part, bottom, m.layer("go "+part, func() (testregistry.Layer, error) { return m.content.AddLayer(path) }))
	}
	step := max(1, len(apps)/images)
	for i := 0; i < len(apps) && len(m.corpus.refs) < images; i += step {
		own := m.own(apps[i].name, apps[i])
		if i%3 == 0 {
			m.image(apps[i].name, bottom, own)
		} else {
			m.image(apps[i].name, bottom, second[i%3-1], own)
		}
	}
	return m.corpus
}

// many returns images of one small layer each.
func many(t testing.TB, images int) *corpus {
	t.Helper()
	m := newMaker(t)
	for i := range images {
		name := fmt.Sprintf("small-%d", i)
		m.image(name, m.layer(name, func() (testregistry.Layer, error) {
			return m.content.AddTar(func(w *tar.Writer) error {
				body := strings.Repeat(name+" has a small layer of its own\n", 100)
				if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(body)), Typeflag: tar.TypeReg}); err != nil {
					return err
				}
				_, err := w.Write([]byte(body))
				return err
			})
		}))
	}
	return m.corpus
}

// huge returns an image of one layer of about 3 GiB: the Go tree again and again.
func huge(t testing.TB) *corpus {
	t.Helper()
	m := newMaker(t)
	m.image("huge", m.layer("huge", func() (testregistry.Layer, error) {
		return m.content.AddTar(func(w *tar.Writer) error {
			for i := range 13 {
				if err := testregistry.AddTree(w, fmt.Sprintf("copy%d/", i), runtime.GOROOT()); err != nil {
					return err
				}
			}
			return nil
		})
	}))
	return m.corpus
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
