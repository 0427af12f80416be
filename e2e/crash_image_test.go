//go:build e2e

package e2e

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/opencontainers/go-digest"
)

// imageForm is a file with a digest, and the tree that the kernel shows of it.
type imageForm struct {
	digest digest.Digest
	want   harness.Tree
}

// wantImage makes the image with another number of jobs than imports that are killed
// have, and wants the tree of the directory store in it.
func wantImage(t *testing.T, bundle string) crashForm {
	t.Helper()
	asDir, ok := wantDir(t, bundle).(dirForm)
	if !ok {
		t.Fatal("no directory store")
	}
	store := harness.StorePath(t)
	harness.MustNodeseal(t, "import", "--quiet", "--jobs", "1", "--store", store, "--format", "image", bundle)
	f := imageForm{digest: fileDigest(t, store+".erofs"), want: asDir.want}
	if diff := harness.Diff(f.want, harness.ReadTree(t, store), nil); len(diff) > 0 {
		t.Fatalf("the image is not as the directory: %q", diff)
	}
	return f
}

func fileDigest(t *testing.T, path string) digest.Digest {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d, err := digest.FromReader(f)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (imageForm) prepare(*testing.T, string) {}

func (imageForm) args(dir, bundle string) []string {
	return []string{"import", "--quiet", "--store", filepath.Join(dir, "store"), bundle, "--format", "image"}
}

// making is the name, in a directory, of an image that is made there. The file and
// the mount for the check have more behind it.
type making string

const (
	makingStore = making(".store.erofs")
	// The probe for EROFS leaves a smaller image.
	probeSize = 1 << 20
)

// begun sees the file of the image.
func (m making) begun(dir string) bool { return there(string(m) + ".partial")(dir) }

// longer sees an image that has more bytes than some.
func (m making) longer(than int64) func(dir string) bool {
	return func(dir string) bool {
		info, err := os.Stat(filepath.Join(dir, string(m)+".partial"))
		return err == nil && info.Size() > than
	}
}

// finished sees an image that has its superblock: it is synced, hashed and checked
// then.
func (m making) finished(dir string) bool {
	const offset, magic = 1024, 0xE0F5E1E2
	if !m.longer(probeSize)(dir) {
		return false
	}
	f, err := os.Open(filepath.Join(dir, string(m)+".partial"))
	if err != nil {
		return false
	}
	defer f.Close()
	var word [4]byte
	if _, err := f.ReadAt(word[:], offset); err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	return binary.LittleEndian.Uint32(word[:]) == magic
}

// checked sees an image that the library has opened.
func (m making) checked(dir string) bool {
	return m.finished(dir) && there(string(m)+".check/root")(dir)
}

// seen are what shows how far the image is.
func (m making) seen() []func(string) bool {
	return []func(string) bool{start, m.begun, m.longer(probeSize), m.longer(48 << 20), m.finished, m.checked}
}

func (imageForm) seen() []func(string) bool {
	return append(makingStore.seen(), there("store.erofs.sha256"), there("store.erofs"), there("store"))
}

func (imageForm) phases() []string {
	return []string{"plan", "begin", "decode", "hash", "check", "place"}
}

func (imageForm) phase(dir string) string {
	for _, p := range []struct {
		name string
		seen func(string) bool
	}{
		{"mounted", there("store/nodeseal")}, {"place", there("store.erofs")}, {"check", makingStore.checked},
		{"hash", makingStore.finished}, {"decode", makingStore.longer(probeSize)}, {"begin", makingStore.begun},
	} {
		if p.seen(dir) {
			return p.name
		}
	}
	return "plan"
}

func (f imageForm) visible(t *testing.T, dir string) bool {
	t.Helper()
	return f.whole(t, filepath.Join(dir, "store.erofs"))
}

// whole reports whether there is an image at path; it has to be whole then.
func (f imageForm) whole(t *testing.T, path string) bool {
	t.Helper()
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return false
	}
	if d := fileDigest(t, path); d != f.digest {
		t.Fatalf("an image is visible that is not whole: %s", d)
	}
	sum := string(harness.ReadFile(t, path+".sha256"))
	if sum != f.digest.Encoded()+"  "+filepath.Base(path)+"\n" {
		t.Fatalf("an image is visible with the digest %q", sum)
	}
	return true
}

// sealed wants the image of a store to be mounted, whole, and immutable.
func (f imageForm) sealed(t *testing.T, store string) {
	t.Helper()
	if diff := harness.Diff(f.want, harness.ReadTree(t, store), nil); len(diff) > 0 {
		t.Fatalf("the image is not mounted as it was: %q", diff)
	}
	if flags := string(harness.Must(t, "lsattr", store+".erofs")); !strings.Contains(strings.Fields(flags)[0], "i") {
		t.Errorf("the image is not sealed: %s", flags)
	}
}

func (f imageForm) remove(t *testing.T, dir string) {
	t.Helper()
	store := filepath.Join(dir, "store")
	f.sealed(t, store)
	harness.MustNodeseal(t, "unseal", "--quiet", store)
	for _, path := range []string{store, store + ".erofs", store + ".erofs.sha256"} {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
}
