package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/samplerelease"
	"github.com/nodeseal/nodeseal/internal/testregistry"
)

// withFixtures runs the tests with a directory for what several of them read.
type withFixtures struct{ *testing.M }

// commandGC is GOGC of the commands that tests run: most end before it would begin.
const commandGC = "400"

// fixtures is the directory while tests run.
var fixtures string

// Run implements testscript.TestingM.
func (w withFixtures) Run() int {
	dir, err := os.MkdirTemp("", "nodeseal-fixtures-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fixtures = dir
	defer os.RemoveAll(dir)
	if err := os.Setenv("GOGC", commandGC); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return w.M.Run()
}

// release is the made-up release. Tests that change nothing in it share it.
var release = sync.OnceValues(func() (*samplerelease.Release, error) {
	return samplerelease.Build(samplerelease.Options{})
})

// releaseBundles are bundles of images of the release, as the command writes them without
// further flags, by their list of images. They share a registry and a work directory.
type releaseBundles struct {
	mu        sync.Mutex // one is made at a time
	dir, addr string     // "" until the first one is asked for
	made      map[string]string
}

var sharedBundles releaseBundles

// of returns the path of the bundle of the images of a list; nil is all of the release.
func (b *releaseBundles) of(list []byte) (path string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, err := release()
	if err != nil {
		return "", err
	}
	if b.dir == "" {
		b.dir, b.made = filepath.Join(fixtures, "release"), make(map[string]string)
		if b.addr, _, err = r.Serve(context.Background()); err != nil { // until the tests end
			return "", err
		}
	}
	if list == nil {
		list = []byte(r.ImagesList())
	}
	if path, ok := b.made[string(list)]; ok {
		return path, nil
	}
	dir := filepath.Join(b.dir, fmt.Sprint(len(b.made)))
	if err := writeRelease(dir, string(list), b.addr); err != nil {
		return "", err
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	cmd := exec.Command(self)
	cmd.Dir = dir // the bundle has the name of the list
	cmd.Args = []string{"nodeseal", "bundle", "--images", "images.lst", "--registries-conf", "registries.conf",
		"-o", "rel.tar.zst", "--work", filepath.Join(b.dir, "work")}
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("bundling images of the release: %w\n%s", err, out)
	}
	path = filepath.Join(dir, "rel.tar.zst")
	b.made[string(list)] = path
	return path, nil
}

// writeRelease writes a list of images of the release, and where they are served.
func writeRelease(dir, list, addr string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "images.lst"), []byte(list), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "registries.conf"), []byte(samplerelease.RegistriesConf(addr)), 0o600)
}

// mirrorImages are the images of which every mirrored serves a copy, and the sum of their
// bundle.
type mirrorImages struct {
	content *testregistry.Content
	layers  []testregistry.Layer
	images  []digest.Digest
	attached

	once   sync.Once // of making them
	bundle sync.Once
	sum    string
}

var sharedImages mirrorImages

// make makes images of which all share a layer: text that compresses, in layers of some
// hundred KiB to a few MiB. Two of them have attachments.
func (f *mirrorImages) make(t *testing.T) {
	t.Helper()
	dir := filepath.Join(fixtures, "mirror")
	check(t, os.Mkdir(dir, 0o755))
	content := testregistry.NewContent(dir)
	for i := range 4 {
		l, err := content.AddTar(func(w *tar.Writer) error { return writeText(w, i, 1<<20<<i/4) })
		check(t, err)
		f.layers = append(f.layers, l)
	}
	for i := range 3 {
		d, err := content.AddImage(repository(i), []testregistry.Layer{f.layers[0], f.layers[i+1]}, "latest")
		check(t, err)
		f.images = append(f.images, d)
	}
	f.attached = attach(t, content, f.images)
	f.content = content
}

// writeText writes files of reproducible words.
func writeText(w *tar.Writer, seed, size int) error {
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	for i := 0; size > 0; i++ {
		var body bytes.Buffer
		for body.Len() < 100<<10 {
			fmt.Fprintf(&body, "%x ", r.Uint32()>>r.IntN(30))
		}
		size -= body.Len() / 2
		if err := w.WriteHeader(&tar.Header{Name: fmt.Sprintf("f%d", i), Mode: 0o644, Size: int64(body.Len()), Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		if _, err := w.Write(body.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// undisturbed is the sum of the bundle of a mirrored that serves the shared images without
// any trouble. It is made once.
func undisturbed(t *testing.T) string {
	t.Helper()
	sharedImages.bundle.Do(func() { sharedImages.sum = newMirrored(t).bundle("undisturbed") })
	if sharedImages.sum == "" {
		t.Fatal("the bundle that nothing disturbs was not made: see the test that tried")
	}
	return sharedImages.sum
}
