package mirror_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/mirror"
	"github.com/nodeseal/nodeseal/internal/mirror/plan"
	"github.com/nodeseal/nodeseal/internal/samplerelease"
)

const osLayers = 60

// osRelease is the made-up release with an operating system.
func osRelease(t *testing.T, build string) *samplerelease.Release {
	t.Helper()
	return sampleWith(t, samplerelease.OS{Layers: osLayers, Build: build})
}

// osList is its list. It does not say which image is the operating system: that one does.
func osList(t *testing.T, r *samplerelease.Release) *imagelist.List {
	t.Helper()
	return listOf(t, r.ImagesList())
}

// fewList is osList with two images beside the operating system's, for what does not depend on the others.
func fewList(t *testing.T, r *samplerelease.Release) *imagelist.List {
	t.Helper()
	img, _ := r.Image(samplerelease.OSImage)
	return listOf(t, img.Ref+"\n"+r.Images[0].Ref+"\n"+r.Images[1].Ref+"\n")
}

func imageOf(t *testing.T, inv *bundle.Inventory, ref string) *bundle.Image {
	t.Helper()
	for i := range inv.Images {
		if inv.Images[i].Ref == ref {
			return &inv.Images[i]
		}
	}
	t.Fatalf("no image %s", ref)
	return nil
}

// TestKeep: the registry's bytes of the operating system are in the bundle, once, and not
// unpacked besides; all other images are as in a bundle without it.
func TestKeep(t *testing.T) {
	t.Parallel()
	for _, form := range []bundle.LayerForm{bundle.Expanded, bundle.Original} {
		t.Run(string(form), func(t *testing.T) {
			t.Parallel()
			src := &memory{release: osRelease(t, "1")}
			o := options(t)
			o.Layers = form
			var planned *plan.Plan
			o.Planned = func(p *plan.Plan) { planned = p }
			res, err := mirror.Run(t.Context(), osList(t, src.release), src, o)
			must(t, err)
			if planned.Download != res.Downloaded {
				t.Errorf("%d bytes were downloaded, %d were planned", res.Downloaded, planned.Download)
			}
			inv := verified(t, o.Output)
			want, _ := src.release.Image(samplerelease.OSImage)
			checkImage(t, inv, want)
			img := imageOf(t, inv, want.Ref)
			if !img.Original || img.Role != bundle.RoleOS || len(img.Layers) != osLayers || inv.Format != bundle.FormatV2 {
				t.Errorf("image %+v of an inventory of format %q", img, inv.Format)
			}
			f, err := archive.OpenFile(t.Context(), o.Output)
			must(t, err)
			defer f.Close()
			for _, l := range img.Layers {
				if holds(inv, l.DiffID) || (form == bundle.Expanded && l.DiffSize == 0) {
					t.Errorf("layer %+v is unpacked, or its size is not known", l)
				}
				r, err := f.OpenLayerUnverified(t.Context(), l.Digest)
				must(t, err)
				got, err := io.ReadAll(r)
				must(t, errors.Join(err, r.Close()))
				if registry, _ := src.release.Blob(l.Digest); !bytes.Equal(got, registry) {
					t.Errorf("layer %s has not the registry's bytes", l.Digest)
				}
			}
			again, err := mirror.Run(t.Context(), osList(t, src.release), src, o)
			must(t, err)
			if again.SHA256 != res.SHA256 || again.Downloaded != 0 {
				t.Errorf("a second run moved %d bytes, and made %s of %s", again.Downloaded, again.SHA256, res.SHA256)
			}
		})
	}
}

// TestKeepChoice: what --keep-original says.
func TestKeepChoice(t *testing.T) {
	t.Parallel()
	src := &memory{release: osRelease(t, "1")}
	for name, tt := range map[string]struct {
		values []string
		kept   int
		os     bool
	}{
		"by default":         {nil, 1, true},
		"none":               {[]string{"none"}, 0, false},
		"another":            {[]string{"quay.io/*/content-twin*"}, 2, true},
		"everything":         {[]string{"*"}, len(src.release.Images), true},
		"a role of the list": {nil, 1 + 1, true},
		"no such image":      {[]string{"quay.io/none/*"}, 1, true},
		"a whole repository": {[]string{samplerelease.Prefix + "/" + samplerelease.ReleaseImage}, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(t)
			var err error
			o.Keep, err = imagelist.NewKeep(tt.values)
			must(t, err)
			list := osList(t, src.release)
			if name == "a role of the list" {
				etcd, _ := src.release.Image("etcd")
				list.Put(imagelist.Entry{Ref: etcd.Ref, Role: bundle.RoleOS})
			}
			_, err = mirror.Run(t.Context(), list, src, o)
			must(t, err)
			inv := verified(t, o.Output)
			kept, system := 0, false
			for _, img := range inv.Images {
				if img.Original {
					kept++
					system = system || img.Role == bundle.RoleOS
				}
			}
			if kept != tt.kept || system != tt.os {
				t.Errorf("%d images are kept, the operating system: %v; want %d, %v", kept, system, tt.kept, tt.os)
			}
			if want := map[bool]string{true: bundle.FormatV2, false: bundle.FormatV1}[kept > 0]; inv.Format != want {
				t.Errorf("format %q, want %q", inv.Format, want)
			}
		})
	}
	if _, err := imagelist.NewKeep([]string{"none", "quay.io/a"}); err == nil {
		t.Error("none and a pattern were taken together")
	}
}

// TestKeepShared: an ordinary image shares layers with one that is kept: each is in the
// bundle once, and the readable manifest of the ordinary one names it.
func TestKeepShared(t *testing.T) {
	t.Parallel()
	src := &memory{release: sample(t)}
	etcd, _ := src.release.Image("etcd")
	o := options(t)
	var err error
	o.Keep, err = imagelist.NewKeep([]string{etcd.Ref})
	must(t, err)
	_, err = mirror.Run(t.Context(), listOf(t, src.release.ImagesList()), src, o)
	must(t, err)
	inv := verified(t, o.Output)
	kept := imageOf(t, inv, etcd.Ref)
	shared := 0
	for _, img := range inv.Images {
		for _, l := range img.Layers {
			if l.Digest == kept.Layers[0].Digest {
				shared++
				if !l.Original {
					t.Errorf("image %s: layer %s is unpacked too", img.Ref, l.Digest)
				}
			}
		}
	}
	if shared < 3 {
		t.Fatalf("%d images share the layer, want more", shared)
	}
}

// TestKeepSince: a delta leaves the layers that are kept to a base that has them so; its
// whole inventory is that of the whole bundle. A base that has them unpacked has them not.
func TestKeepSince(t *testing.T) {
	t.Parallel()
	old, src := &memory{release: osRelease(t, "1")}, &memory{release: osRelease(t, "2")}
	run := func(src *memory, since *mirror.Since, keep ...string) *bundle.Inventory {
		o := options(t)
		o.Since = since
		var err error
		o.Keep, err = imagelist.NewKeep(keep)
		must(t, err)
		_, err = mirror.Run(t.Context(), fewList(t, src.release), src, o)
		must(t, err)
		return verified(t, o.Output)
	}
	want, err := run(src, nil).Marshal()
	must(t, err)
	for name, tt := range map[string]struct {
		base *bundle.Inventory
		left int
	}{
		"kept":     {run(old, nil), osLayers / 2},
		"unpacked": {run(old, nil, imagelist.KeepNone), 0},
	} {
		delta := run(src, sinceOf(t, tt.base))
		img, _ := src.release.Image(samplerelease.OSImage)
		left := make(map[digest.Digest]bool)
		for _, b := range delta.Base.Blobs {
			left[b.Digest] = true
		}
		n := 0
		for _, l := range imageOf(t, delta, img.Ref).Layers {
			if left[l.Digest] {
				n++
			}
		}
		if n != tt.left {
			t.Errorf("%s: %d layers of the operating system are left to the base, want %d", name, n, tt.left)
		}
		if got, err := delta.Whole().Marshal(); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: the whole inventory is not that of the whole bundle: %v", name, err)
		}
	}
}

// unpacked is a source that has layers only unpacked.
type unpacked struct{ *memory }

func (unpacked) HasBlob(context.Context, digest.Digest) bool { return false }

// TestKeepUnpacked: of a source without the registry's bytes the operating system is bundled
// unpacked, and said; what was asked for by name is an error.
func TestKeepUnpacked(t *testing.T) {
	t.Parallel()
	src := unpacked{&memory{release: osRelease(t, "1")}}
	o := options(t)
	_, err := mirror.Run(t.Context(), fewList(t, src.release), src, o)
	must(t, err)
	if inv := verified(t, o.Output); inv.Format != bundle.FormatV1 {
		t.Errorf("format %q", inv.Format)
	}
	img, _ := src.release.Image(samplerelease.OSImage)
	o.Keep, err = imagelist.NewKeep([]string{img.Ref})
	must(t, err)
	if _, err := mirror.Run(t.Context(), fewList(t, src.release), src, o); !errors.Is(err, mirror.ErrNoOriginal) {
		t.Errorf("asked for by name: %v", err)
	}
}

// offline is a source with layers unpacked in a store, whose registry does not answer.
type offline struct {
	*memory
	config digest.Digest // which the store has
}

func (o offline) Blob(ctx context.Context, ref string, d digest.Digest, size, offset int64) (io.ReadCloser, error) {
	if d == o.config {
		return o.memory.Blob(ctx, ref, d, size, offset)
	}
	return nil, errOffline
}

func (offline) PlainLayer(context.Context, digest.Digest) (io.ReadCloser, bool, error) {
	return io.NopCloser(strings.NewReader("not looked at")), true, nil
}

var errOffline = errors.New("the registry does not answer")

// TestKeepOffline: what has to come from a registry that does not answer, and is in a store
// unpacked, is said to be there only unpacked: the registry is not what is wrong.
func TestKeepOffline(t *testing.T) {
	t.Parallel()
	release := osRelease(t, "1")
	img, _ := release.Image(samplerelease.OSImage)
	src := offline{&memory{release: release}, img.Config}
	_, err := mirror.Run(t.Context(), listOf(t, img.Ref), src, options(t))
	if !errors.Is(err, mirror.ErrNoOriginal) || !errors.Is(err, errOffline) || !strings.Contains(err.Error(), img.Ref) {
		t.Errorf("%v", err)
	}
}

// TestKeepWrong: what is not the registry's, or not what the configuration says, is refused.
func TestKeepWrong(t *testing.T) {
	t.Parallel()
	src := &memory{release: osRelease(t, "1")}
	img, _ := src.release.Image(samplerelease.OSImage)
	var layer digest.Digest
	o := options(t)
	_, err := mirror.Run(t.Context(), fewList(t, src.release), src, o)
	must(t, err)
	layer = imageOf(t, verified(t, o.Output), img.Ref).Layers[3].Digest
	src.blob = func(d digest.Digest, r io.Reader) io.Reader {
		if d != layer {
			return r
		}
		data, err := io.ReadAll(r)
		must(t, err)
		data[len(data)/2] ^= 1
		return bytes.NewReader(data)
	}
	_, err = mirror.Run(t.Context(), fewList(t, src.release), src, options(t))
	var at *mirror.ImageError
	if !errors.As(err, &at) || at.Ref != img.Ref {
		t.Errorf("a changed byte: %v", fmt.Sprint(err))
	}
}
