package mirror_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/mirror"
	"github.com/nodeseal/nodeseal/internal/mirror/plan"
	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/trust"
)

// sinceOf is a bundle as one to build on.
func sinceOf(t *testing.T, inv *bundle.Inventory) *mirror.Since {
	t.Helper()
	whole := inv.Whole()
	raw, err := whole.Marshal()
	must(t, err)
	return &mirror.Since{Inventory: whole, ID: digest.FromBytes(raw)}
}

// TestSince: of the layers that the earlier bundle has not one byte is fetched,
// the bundle lacks them and nothing else, and its whole inventory is that of the
// whole bundle. In both forms, and for a delta of a delta.
func TestSince(t *testing.T) {
	t.Parallel()
	for _, form := range []bundle.LayerForm{bundle.Expanded, bundle.Original} {
		t.Run(string(form), func(t *testing.T) {
			t.Parallel()
			src := &memory{release: sample(t)}
			refs := strings.Fields(strings.SplitAfter(src.release.ImagesList(), "\n\n")[1])[:12]
			run := func(refs []string, since *mirror.Since) *bundle.Inventory {
				o := options(t)
				o.Layers, o.Since = form, since
				_, err := mirror.Run(t.Context(), listOf(t, strings.Join(refs, "\n")), src, o)
				must(t, err)
				return verified(t, o.Output)
			}
			old := run(refs[:6], nil)
			want, err := run(refs, nil).Marshal()
			must(t, err)

			has := make(map[digest.Digest]bool)
			for _, img := range old.Images {
				for _, l := range img.Layers {
					has[l.Digest] = true
				}
			}
			src.blob = func(d digest.Digest, r io.Reader) io.Reader {
				if has[d] {
					t.Errorf("layer %s, which the earlier bundle has, was fetched", d)
				}
				return r
			}
			var planned *plan.Plan
			o := options(t)
			o.Layers, o.Since, o.Planned = form, sinceOf(t, old), func(p *plan.Plan) { planned = p }
			res, err := mirror.Run(t.Context(), listOf(t, strings.Join(refs, "\n")), src, o)
			must(t, err)
			delta := verified(t, o.Output)
			n, _ := delta.Base.Layers()
			// The plan counts what registries call layers: one tar may be several.
			if n == 0 || n > planned.BaseLayers || delta.Base.Inventory != o.Since.ID {
				t.Errorf("%d layers are left to %s, %d were planned to be", n, delta.Base.Inventory, planned.BaseLayers)
			}
			if planned.Download != res.Downloaded {
				t.Errorf("%d bytes were downloaded, %d were planned", res.Downloaded, planned.Download)
			}
			for _, b := range delta.Blobs {
				if b.Kind == bundle.KindLayer && holds(old, b.Digest) {
					t.Errorf("layer %s is in both bundles", b.Digest)
				}
			}
			got, err := delta.Whole().Marshal()
			must(t, err)
			if !bytes.Equal(got, want) {
				t.Error("its whole inventory is not that of the whole bundle")
			}

			middle := run(refs[:9], sinceOf(t, old))
			third := run(refs, sinceOf(t, middle))
			if m, _ := third.Base.Layers(); m <= n {
				t.Errorf("%d layers are left to two bundles, %d to one", m, n)
			}
			got, err = third.Whole().Marshal()
			must(t, err)
			if !bytes.Equal(got, want) {
				t.Error("the whole inventory of a delta of a delta is not that of the whole bundle")
			}
		})
	}
}

func holds(inv *bundle.Inventory, d digest.Digest) bool {
	for _, b := range inv.Blobs {
		if b.Digest == d {
			return true
		}
	}
	return false
}

// TestSinceUnproven: a layer that was only compressed anew is fetched, because the
// manifest's digest of it is not proven, but is not in the bundle.
func TestSinceUnproven(t *testing.T) {
	t.Parallel()
	src := &memory{release: sample(t)}
	o := options(t)
	list := listOf(t, src.release.Images[0].Ref+"\n"+src.release.Images[1].Ref)
	res, err := mirror.Run(t.Context(), list, src, o)
	must(t, err)
	// The earlier bundle had it under another digest.
	since := sinceOf(t, res.Inventory)
	layer := res.Inventory.Images[0].Layers[0]
	for i := range since.Inventory.Images {
		for j, l := range since.Inventory.Images[i].Layers {
			if l.DiffID == layer.DiffID {
				since.Inventory.Images[i].Layers[j].Digest = digest.FromString("another")
			}
		}
	}
	var fetched atomic.Bool // layers come side by side
	src.blob = func(d digest.Digest, r io.Reader) io.Reader {
		if d == layer.Digest {
			fetched.Store(true)
		}
		return r
	}
	again := options(t)
	again.Since = since
	_, err = mirror.Run(t.Context(), list, src, again)
	must(t, err)
	if !fetched.Load() {
		t.Error("it was not fetched")
	}
	if inv := verified(t, again.Output); holds(inv, layer.DiffID) {
		t.Error("it is in the bundle")
	}
}

// TestSinceForm: layers of another form are refused before anything is done.
func TestSinceForm(t *testing.T) {
	t.Parallel()
	src := &memory{release: sample(t)}
	o := options(t)
	o.Since = &mirror.Since{Inventory: &bundle.Inventory{Layers: bundle.Original}}
	var form *mirror.FormError
	if _, err := mirror.Run(t.Context(), listOf(t, src.release.ImagesList()), src, o); !errors.As(err, &form) {
		t.Errorf("want a FormError, got %v", err)
	}
	if _, err := os.Stat(o.Work); err == nil {
		t.Error("there is a work directory")
	}
}

// TestSincePipe takes a named pipe, as a stick may have one, for an earlier release: it is refused
// at once, where opening it would wait for a writer for ever.
func TestSincePipe(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "old.tar.zst")
	must(t, unix.Mkfifo(path, 0o600))
	if _, err := mirror.ReadSince(t.Context(), path, trust.Bundle{Insecure: true}); !errors.Is(err, safefile.ErrNotRegular) {
		t.Errorf("%v", err)
	}
}
