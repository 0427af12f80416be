package mirror_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/mirror"
	"github.com/nodeseal/nodeseal/internal/samplerelease"
)

// What an ended run kept of a layer is not fetched again; where it is wrong,
// the layer is fetched anew.
func TestResume(t *testing.T) {
	t.Parallel()
	for _, form := range []bundle.LayerForm{bundle.Expanded, bundle.Original} {
		for _, spoil := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, spoiled %t", form, spoil), func(t *testing.T) {
				t.Parallel()
				resume(t, form, spoil)
			})
		}
	}
}

func resume(t *testing.T, form bundle.LayerForm, spoil bool) {
	t.Helper()
	errCut := errors.New("cut")
	src := &memory{release: big(t)}
	o := options(t)
	o.Jobs, o.Layers = 1, form
	list := listOf(t, src.release.ImagesList())
	src.blob = func(_ digest.Digest, r io.Reader) io.Reader {
		return &cut{r, 3 << 19, errCut}
	}
	if _, err := mirror.Run(t.Context(), list, src, o); !errors.Is(err, errCut) {
		t.Fatalf("the cut run: %v", err)
	}
	src.blob = nil
	kept, err := filepath.Glob(filepath.Join(o.Work, "compressed", "*"))
	must(t, err)
	if len(kept) == 0 {
		t.Fatal("nothing was kept")
	}
	for _, path := range kept {
		if spoil {
			must(t, os.WriteFile(path, make([]byte, 1<<20), 0o600))
		}
	}
	res, err := mirror.Run(t.Context(), list, src, o)
	must(t, err)
	if res.Reused < 1<<20 {
		t.Errorf("reused %d bytes", res.Reused)
	}
	clean := options(t)
	clean.Layers = form
	want, err := mirror.Run(t.Context(), list, src, clean)
	must(t, err)
	if res.SHA256 != want.SHA256 {
		t.Errorf("%s, an undisturbed run makes %s", res.SHA256, want.SHA256)
	}
	verified(t, o.Output)
}

// A run with expanded layers takes what one with original layers has fetched.
func TestOtherForm(t *testing.T) {
	t.Parallel()
	src := &memory{release: big(t)}
	o := options(t)
	o.Layers = bundle.Original
	list := listOf(t, src.release.ImagesList())
	_, err := mirror.Run(t.Context(), list, src, o)
	must(t, err)
	before := src.served.Load()
	o.Layers = bundle.Expanded
	res, err := mirror.Run(t.Context(), list, src, o)
	must(t, err)
	// What is small lies in records, and is fetched again.
	if again := src.served.Load() - before; again > 1<<20 || res.Reused < 1<<20 {
		t.Errorf("%d bytes were fetched again, %d reused", again, res.Reused)
	}
	verified(t, o.Output)
}

// What a power cut took of a finished layer that was not synced is found, and
// fetched again.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	src := &memory{release: big(t)}
	o := options(t)
	o.Layers = bundle.Original
	list := listOf(t, src.release.ImagesList())
	want, err := mirror.Run(t.Context(), list, src, o)
	must(t, err)
	kept, err := filepath.Glob(filepath.Join(o.Work, "compressed", "*"))
	must(t, err)
	if len(kept) < 1 {
		t.Fatal("nothing was kept")
	}
	info, err := os.Stat(kept[0])
	must(t, err)
	must(t, os.WriteFile(kept[0], make([]byte, info.Size()), 0o600)) // its length came to the disk, not its blocks
	before := src.served.Load()
	res, err := mirror.Run(t.Context(), list, src, o)
	must(t, err)
	if again := src.served.Load() - before; again < info.Size() {
		t.Errorf("%d bytes were fetched again, want the %d that were lost", again, info.Size())
	}
	if res.SHA256 != want.SHA256 {
		t.Errorf("%s, the first run made %s", res.SHA256, want.SHA256)
	}
	verified(t, o.Output)
	before = src.served.Load()
	_, err = mirror.Run(t.Context(), list, src, o)
	must(t, err)
	if again := src.served.Load() - before; again >= info.Size() {
		t.Errorf("%d bytes were fetched again of what was whole", again)
	}
}

// cut fails after left bytes.
type cut struct {
	io.Reader
	left int
	err  error
}

func (c *cut) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, c.err
	}
	n, err := c.Reader.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// big is a release with a layer of some size, which does not compress.
func big(t *testing.T) *samplerelease.Release {
	t.Helper()
	const size = 4 << 20
	program := make([]byte, size)
	_, err := rand.NewChaCha8([32]byte{}).Read(program)
	must(t, err)
	path := filepath.Join(t.TempDir(), "program")
	must(t, os.WriteFile(path, program, 0o600))
	r, err := samplerelease.Build(samplerelease.Options{Writer: &samplerelease.Program{Path: path}})
	must(t, err)
	return r
}
