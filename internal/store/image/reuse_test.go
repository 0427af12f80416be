package image_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/filetable"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
	"github.com/opencontainers/go-digest"
)

// shared is a content of more than a block with a tail; n makes it another one.
func shared(n, size int) string {
	return strings.Repeat(fmt.Sprintf("content %d of a file\n", n), size)[:size]
}

// release is a source of which most layers are the same whatever n is, in another
// order. Contents of one block, of many, with long and short ends, in several layers.
func release(t testing.TB, form bundle.LayerForm, n int) *storetest.Source {
	t.Helper()
	base := storetest.Tar(t,
		storetest.Dir("usr/"), storetest.File("usr/short", "short"), storetest.File("usr/block", shared(1, 4096)),
		storetest.File("usr/long-end", shared(2, 3*4096+3000)), storetest.File("usr/short-end", shared(3, 5*4096+100)),
		storetest.File("usr/twice", shared(2, 3*4096+3000)), storetest.Link("usr/hard", "usr/block"),
		storetest.Symlink("usr/soft", "block"), storetest.File("usr/empty", ""))
	more := storetest.Tar(t, storetest.File("opt/more", shared(4, 100_000)), storetest.File("opt/again", shared(3, 5*4096+100)))
	// Of the two files that have one name, the first one's content goes on under another.
	twins := storetest.Tar(t, storetest.File("twin", "one"), storetest.Link("twin-2", "twin"), storetest.File("/twin", "two"))
	own := storetest.Tar(t, storetest.File("etc/version", fmt.Sprint("release ", n)), storetest.File("etc/own", shared(100+n, 20_000)),
		storetest.File("etc/more", shared(4, 100_000)))
	src := storetest.NewSource(t, form)
	if n > 1 {
		src.Add(storetest.Image{Repository: "example.com/new", Layers: [][]byte{own}})
	}
	src.Add(storetest.Image{Repository: "example.com/base", Layers: [][]byte{base, more}})
	src.Add(storetest.Image{Repository: "example.com/app", Layers: [][]byte{base, own, more, twins}})
	storetest.Images(t, src)
	return src
}

// TestReuse makes an image with layers of another store: it is the same to the byte as
// one that is decoded, whatever the form of that store and of the bundle.
func TestReuse(t *testing.T) {
	needEROFS(t)
	for _, fs := range []string{"xfs", "btrfs", "ext4"} {
		for _, form := range []bundle.LayerForm{bundle.Expanded, bundle.Original} {
			t.Run(fs+"-"+string(form), func(t *testing.T) {
				at := testenv.NeedFS(t, fs)
				want := importImage(t, release(t, form, 2), filepath.Join(at, "want.erofs"), 2)
				importImage(t, release(t, form, 1), filepath.Join(at, "old.erofs"), 2)
				if _, err := dir.Import(t.Context(), release(t, form, 1), filepath.Join(at, "dir"), store.ImportOptions{}); err != nil {
					t.Fatal(err)
				}
				for _, donor := range []string{"old.erofs", "old", "dir"} {
					path := filepath.Join(at, "from-"+donor)
					if donor == "old" { // as a slot whose image is not mounted
						if err := dir.WriteEmpty(filepath.Join(at, donor)); err != nil {
							t.Fatal(err)
						}
					}
					got, err := image.Import(t.Context(), release(t, form, 2), path, store.ImportOptions{
						Reuse: []string{filepath.Join(at, "none"), filepath.Join(at, donor)},
					})
					if err != nil {
						t.Fatal(err)
					}
					if got.Digest != want.Digest || got.Taken == 0 || got.Extracted == 0 {
						t.Errorf("from %s: %s, %d taken, %d extracted; want %s", donor, got.Digest, got.Taken, got.Extracted, want.Digest)
					}
					if donor != "dir" && got.Reused < 100_000 {
						t.Errorf("from %s: %d bytes are blocks of the other", donor, got.Reused)
					}
				}
			})
		}
	}
}

// TestReuseDamaged changes every part of an image that layers are taken from, in one
// byte or in many: that is found, all comes from the bundle, and the image is what it
// must be.
func TestReuseDamaged(t *testing.T) {
	needEROFS(t)
	at := testenv.NeedFS(t, "xfs")
	want := importImage(t, release(t, bundle.Expanded, 2), filepath.Join(at, "want.erofs"), 2)
	importImage(t, release(t, bundle.Expanded, 1), filepath.Join(at, "old.erofs"), 2)
	whole := readFile(t, filepath.Join(at, "old.erofs"))
	old := filepath.Join(at, "damaged.erofs")
	writeFile(t, old+image.DigestSuffix, readFile(t, filepath.Join(at, "old.erofs"+image.DigestSuffix)))
	const steps = 40
	for i := range steps {
		data := bytes.Clone(whole)
		from := len(data) * i / steps
		length := 1
		if i%2 == 0 {
			length = len(data) / steps / 4
		}
		for j := from; j < from+length; j++ {
			data[j] ^= 0x55
		}
		writeFile(t, old, data)
		path := filepath.Join(at, fmt.Sprintf("new-%d.erofs", i))
		form := []bundle.LayerForm{bundle.Expanded, bundle.Original}[i/2%2]
		got, warnings := reuse(t, release(t, form, 2), path, store.ImportOptions{Reuse: []string{old}, Jobs: 1 + i%3})
		if form == bundle.Expanded && got.Digest != want.Digest {
			t.Errorf("damage at %d%%: the image is another one", 100*i/steps)
		}
		if warnings == 0 || got.Taken != 0 || got.Reused != 0 {
			t.Errorf("damage at %d%%: %d warnings, %d layers taken", 100*i/steps, warnings, got.Taken)
		}
		for _, name := range []string{path, path + image.DigestSuffix} {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// reuse imports, and counts the warnings.
func reuse(t testing.TB, src *storetest.Source, path string, opts store.ImportOptions) (*image.Result, int64) {
	t.Helper()
	var warnings atomic.Int64
	opts.Progress = func(e progress.Event) {
		if e.Kind == progress.Warning {
			warnings.Add(1)
		}
	}
	res, err := image.Import(t.Context(), src, path, opts)
	if err != nil {
		t.Fatal(err)
	}
	return res, warnings.Load()
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func writeFile(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestReuseUnproven has images without a recorded digest, or with one that is not
// theirs: nothing is taken. One that is whole is taken from all the same.
func TestReuseUnproven(t *testing.T) {
	needEROFS(t)
	at := t.TempDir()
	want := importImage(t, release(t, bundle.Expanded, 2), filepath.Join(at, "want.erofs"), 2)
	old := filepath.Join(at, "old.erofs")
	importImage(t, release(t, bundle.Expanded, 1), old, 2)
	lone, other := filepath.Join(at, "lone.erofs"), filepath.Join(at, "other.erofs")
	for _, name := range []string{lone, other} {
		writeFile(t, name, readFile(t, old))
	}
	if err := image.WriteDigest(other, want.Digest); err != nil {
		t.Fatal(err)
	}
	for i, donors := range [][]string{{lone}, {other}, {other, lone, old}} {
		path := filepath.Join(at, fmt.Sprintf("new-%d.erofs", i))
		got, warnings := reuse(t, release(t, bundle.Expanded, 2), path, store.ImportOptions{Reuse: donors})
		taken := i == 2
		if got.Digest != want.Digest || warnings == 0 || (got.Taken > 0) != taken {
			t.Errorf("from %v: %s, %d taken, %d warnings; want %s", donors, got.Digest, got.Taken, warnings, want.Digest)
		}
	}
}

// TestReuseLyingTable has a bundle whose table claims for a file of a layer that is
// taken the content of one that is not, and the other way round: neither may get the
// other's.
func TestReuseLyingTable(t *testing.T) {
	needEROFS(t)
	for _, size := range []int{3000, 4096, 3*4096 + 100, 5 * 4096} {
		at := t.TempDir()
		taken := storetest.Tar(t, storetest.File("taken", shared(1, size)), storetest.File("again", shared(1, size)))
		fresh := storetest.Tar(t, storetest.File("fresh", shared(2, size)))
		src := storetest.NewSource(t, bundle.Expanded)
		src.Add(storetest.Image{Repository: "example.com/old", Layers: [][]byte{taken}})
		old := filepath.Join(at, "old.erofs")
		importImage(t, src, old, 0)
		entry := func(name string, n int) filetable.Entry {
			return filetable.Entry{Name: name, Type: tar.TypeReg, Size: int64(size), SHA256: sha256.Sum256([]byte(shared(n, size)))}
		}
		for i, claims := range [][3]int{{1, 1, 2}, {2, 1, 2}, {1, 2, 2}, {2, 2, 2}, {1, 1, 1}, {3, 3, 2}} {
			src := storetest.NewSource(t, bundle.Expanded)
			src.Add(storetest.Image{Repository: "example.com/new", Layers: [][]byte{taken, fresh}})
			src.Retable(digest.FromBytes(taken), entry("taken", claims[0]), entry("again", claims[1]))
			src.Retable(digest.FromBytes(fresh), entry("fresh", claims[2]))
			_, err := image.Import(t.Context(), src, filepath.Join(at, fmt.Sprintf("new-%d.erofs", i)), store.ImportOptions{Reuse: []string{old}})
			if honest := i == 0; honest != (err == nil) || err != nil && !errors.Is(err, store.ErrDamaged) {
				t.Errorf("%d bytes, claims %v: %v", size, claims, err)
			}
		}
	}
}
