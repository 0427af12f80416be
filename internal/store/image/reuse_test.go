package image_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
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
	own := storetest.Tar(t, storetest.File("etc/version", fmt.Sprint("release ", n)), storetest.File("etc/own", shared(100+n, 20_000)),
		storetest.File("etc/more", shared(4, 100_000)))
	src := storetest.NewSource(t, form)
	if n > 1 {
		src.Add(storetest.Image{Repository: "example.com/new", Layers: [][]byte{own}})
	}
	src.Add(storetest.Image{Repository: "example.com/base", Layers: [][]byte{base, more}})
	src.Add(storetest.Image{Repository: "example.com/app", Layers: [][]byte{base, own, more}})
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
				if _, err := dir.Import(t.Context(), release(t, form, 1), filepath.Join(at, "dir"), dir.Options{}); err != nil {
					t.Fatal(err)
				}
				for _, donor := range []string{"old.erofs", "old", "dir"} {
					path := filepath.Join(at, "from-"+donor)
					if donor == "old" { // as a slot whose image is not mounted
						if err := dir.WriteEmpty(filepath.Join(at, donor)); err != nil {
							t.Fatal(err)
						}
					}
					got, err := image.Import(t.Context(), release(t, form, 2), path, image.Options{
						Reuse: []string{filepath.Join(at, "none"), filepath.Join(at, donor)},
					})
					if err != nil {
						t.Fatal(err)
					}
					if got.Digest != want.Digest || got.Taken == 0 || got.Taken == got.Decoded {
						t.Errorf("from %s: %s, %d of %d taken; want %s", donor, got.Digest, got.Taken, got.Decoded, want.Digest)
					}
					if donor != "dir" && got.Reused < 100_000 {
						t.Errorf("from %s: %d bytes are blocks of the other", donor, got.Reused)
					}
				}
			})
		}
	}
}

// TestReuseDamaged changes every part of an image that layers are taken from: what is
// wrong there comes from the bundle, and the image is what it must be.
func TestReuseDamaged(t *testing.T) {
	needEROFS(t)
	at := testenv.NeedFS(t, "xfs")
	want := importImage(t, release(t, bundle.Expanded, 2), filepath.Join(at, "want.erofs"), 2)
	importImage(t, release(t, bundle.Expanded, 1), filepath.Join(at, "old.erofs"), 2)
	whole, err := os.ReadFile(filepath.Join(at, "old.erofs"))
	if err != nil {
		t.Fatal(err)
	}
	const steps = 40
	left := 0
	for i := range steps {
		data := bytes.Clone(whole)
		from := len(data) * i / steps
		for j := from; j < from+len(data)/steps/4; j++ {
			data[j] ^= 0x55
		}
		old := filepath.Join(at, "damaged.erofs")
		if err := os.WriteFile(old, data, 0o600); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(at, fmt.Sprintf("new-%d.erofs", i))
		var warned atomic.Bool
		got, err := image.Import(t.Context(), release(t, bundle.Expanded, 2), path, image.Options{
			Reuse: []string{old}, Jobs: 1 + i%3,
			Progress: func(e progress.Event) { warned.CompareAndSwap(false, e.Kind == progress.Warning) },
		})
		if err != nil {
			t.Fatalf("damage at %d%%: %v", 100*i/steps, err)
		}
		if got.Digest != want.Digest {
			t.Errorf("damage at %d%%: the image is another one", 100*i/steps)
		}
		if warned.Load() {
			left++
		}
		for _, name := range []string{path, path + image.DigestSuffix} {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if left < steps/4 {
		t.Errorf("only %d of %d damages were found", left, steps)
	}
}
