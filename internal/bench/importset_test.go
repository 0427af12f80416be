//go:build bench

package bench

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
)

// importSet is a corpus in the forms that the ways to import read.
type importSet struct {
	*corpus
	bundle  string
	layout  string // OCI layout with the tags i0, i1, ...
	archive string // of docker, once docker made it
}

// importSetOf returns the set of a name: "60", "full" or "tiny-COUNT".
func importSetOf(t testing.TB, name string) *importSet {
	t.Helper()
	var images int
	switch {
	case name == "60":
		return newImportSet(t, name, debian(t, 60))
	case name == "full":
		return newImportSet(t, name, machine(t, 60))
	default:
		_, err := fmt.Sscanf(name, "tiny-%d", &images)
		check(t, err)
		return newImportSet(t, name, many(t, images))
	}
}

// newImportSet makes the bundle and the OCI layout of a corpus, or takes those
// of an earlier run with the same images.
func newImportSet(t testing.TB, name string, c *corpus) *importSet {
	t.Helper()
	kept := filepath.Join(cacheDir(t), "import-"+name)
	s := &importSet{
		corpus: c, bundle: filepath.Join(kept, "out.tar.zst"), layout: filepath.Join(kept, "library"),
		archive: filepath.Join(kept, "images.tar"),
	}
	done, want := filepath.Join(kept, "done"), strings.Join(c.refs, "\n")
	// The machine may have other files by now, and another set may be made of those.
	if got, err := os.ReadFile(done); err != nil || string(got) != want {
		check(t, os.RemoveAll(kept))
		check(t, os.MkdirAll(kept, 0o755))
		addr := serve(t, c, kept)
		mirror(t, kept)
		library(t, addr, kept, c.refs)
		check(t, os.RemoveAll(filepath.Join(kept, "work")))
		check(t, os.WriteFile(done, []byte(want), 0o644))
	}
	return s
}

// count counts the entries of all layers.
func (s *importSet) count(t testing.TB) int {
	t.Helper()
	entries := 0
	check(t, eachLayer(s.bundle, func(r io.Reader) error {
		tr := tar.NewReader(r)
		for {
			_, err := tr.Next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			entries++
		}
	}, 1))
	return entries
}

// docker makes the archive that podman loads, where it is not there.
func (s *importSet) docker(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(s.archive); err == nil {
		return
	}
	root := filepath.Join(fresh(t), "other")
	again(t, modeLibrary, s.layout, root, fmt.Sprint(len(s.refs)))
	s.save(t, root, s.archive+".part")
	check(t, os.Rename(s.archive+".part", s.archive))
}

// eachLayer calls read with every layer of a bundle, jobs at once.
func eachLayer(path string, read func(io.Reader) error, jobs int) error {
	ctx := context.Background()
	f, err := archive.OpenFile(ctx, path)
	if err != nil {
		return err
	}
	defer f.Close()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(jobs)
	for _, b := range f.Inventory().Blobs {
		if b.Kind != bundle.KindLayer {
			continue
		}
		g.Go(func() error {
			r, err := f.OpenLayer(ctx, b.Digest)
			if err != nil {
				return err
			}
			defer r.Close()
			return read(r)
		})
	}
	return g.Wait()
}

// decode is the floor: it decodes and hashes all layers on all processors.
func decode(path string) error {
	return eachLayer(path, hashAll, runtime.GOMAXPROCS(0))
}
