package mirror_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/internal/filelock"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/imagelist/file"
	"github.com/nodeseal/nodeseal/internal/mirror"
	"github.com/nodeseal/nodeseal/internal/pull"
	"github.com/nodeseal/nodeseal/internal/samplerelease"
)

// memory is a Source that holds the sample release, with faults to order.
type memory struct {
	release *samplerelease.Release
	// blob, where set, changes what Blob returns.
	blob func(d digest.Digest, r io.Reader) io.Reader
	// served counts the bytes that were read of blobs.
	served   atomic.Int64
	rejected atomic.Int64
}

func (m *memory) Manifest(_ context.Context, ref string) (pull.Manifest, error) {
	_, d := imagelist.Split(ref)
	for _, img := range m.release.Images {
		if d == "" && strings.HasPrefix(img.Ref, imagelist.Repository(ref)+"@") {
			_, d = imagelist.Split(img.Ref)
		}
	}
	data, ok := m.release.Manifest(d)
	if !ok {
		return pull.Manifest{}, fmt.Errorf("%s: %w", ref, pull.ErrNotFound)
	}
	return pull.Manifest{Digest: d, MediaType: mediaType(data), Bytes: data}, nil
}

func mediaType(data []byte) string {
	var m struct {
		MediaType string            `json:"mediaType"`
		Manifests []json.RawMessage `json:"manifests"`
	}
	if err := json.Unmarshal(data, &m); err != nil {
		panic(err)
	}
	switch {
	case m.MediaType != "":
		return m.MediaType
	case m.Manifests != nil:
		return v1.MediaTypeImageIndex
	}
	return v1.MediaTypeImageManifest
}

func (m *memory) Blob(_ context.Context, _ string, d digest.Digest, _, offset int64) (io.ReadCloser, error) {
	data, ok := m.release.Blob(d)
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", d, pull.ErrNotFound)
	}
	r := io.Reader(strings.NewReader(string(data[offset:])))
	if m.blob != nil {
		r = m.blob(d, r)
	}
	return io.NopCloser(&counted{r, &m.served}), nil
}

func (m *memory) Reject(digest.Digest) { m.rejected.Add(1) }

type counted struct {
	io.Reader
	n *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// built are the made-up releases, each made once: nothing changes them. Making one takes as
// long as bundling it.
var built = struct {
	sync.Mutex
	of map[samplerelease.OS]*samplerelease.Release
}{of: make(map[samplerelease.OS]*samplerelease.Release)}

// sampleWith is the made-up release with an image of an operating system, or without one.
func sampleWith(t *testing.T, os samplerelease.OS) *samplerelease.Release {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if built.of[os] == nil {
		r, err := samplerelease.Build(samplerelease.Options{OS: os})
		must(t, err)
		built.of[os] = r
	}
	return built.of[os]
}

func sample(t *testing.T) *samplerelease.Release {
	t.Helper()
	return sampleWith(t, samplerelease.OS{})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func listOf(t *testing.T, text string) *imagelist.List {
	t.Helper()
	l, err := file.Parse(strings.NewReader(text), "images.lst")
	must(t, err)
	return l
}

func options(t *testing.T) mirror.Options {
	t.Helper()
	dir := t.TempDir()
	return mirror.Options{Output: filepath.Join(dir, "out.tar.zst"), Work: filepath.Join(dir, "work"), Level: 1}
}

func sum(t *testing.T, path string) digest.Digest {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	return digest.FromBytes(data)
}

func verified(t *testing.T, path string) *bundle.Inventory {
	t.Helper()
	f, size, err := archive.OpenBytes(path)
	must(t, err)
	defer f.Close()
	rep, err := archive.Verify(t.Context(), f, size, archive.VerifyOptions{Jobs: 2})
	must(t, err)
	if len(rep.Damage) > 0 {
		t.Fatalf("damage: %v", rep.Damage)
	}
	return rep.Inventory
}

func TestRun(t *testing.T) {
	t.Parallel()
	for _, form := range []bundle.LayerForm{bundle.Expanded, bundle.Original} {
		t.Run(string(form), func(t *testing.T) {
			t.Parallel()
			src := &memory{release: sample(t)}
			o := options(t)
			o.Layers = form
			res, err := mirror.Run(t.Context(), listOf(t, src.release.ImagesList()), src, o)
			must(t, err)
			if got := sum(t, o.Output); got != res.SHA256 {
				t.Errorf("the result says %s, the file is %s", res.SHA256, got)
			}
			inv := verified(t, o.Output)
			if len(inv.Images) != len(src.release.Images) {
				t.Errorf("%d images, want %d", len(inv.Images), len(src.release.Images))
			}
			for _, want := range src.release.Images {
				checkImage(t, inv, want)
			}
		})
	}
}

func checkImage(t *testing.T, inv *bundle.Inventory, want samplerelease.Image) {
	t.Helper()
	for _, img := range inv.Images {
		if img.Ref != want.Ref {
			continue
		}
		if img.Digest != want.Manifest || img.Config.Digest != want.Config || img.Index != want.Index || img.MediaType != want.MediaType {
			t.Errorf("image %s: %+v, want %+v", want.Ref, img, want)
		}
		for i, l := range img.Layers {
			if l.DiffID != want.DiffIDs[i] {
				t.Errorf("image %s: diff ID %s, want %s", want.Ref, l.DiffID, want.DiffIDs[i])
			}
		}
		return
	}
	t.Errorf("no image %s", want.Ref)
}

func TestDeterministic(t *testing.T) {
	t.Parallel()
	var sums []digest.Digest
	for _, jobs := range []int{1, 16} {
		src := &memory{release: sample(t)}
		o := options(t)
		o.Jobs = jobs
		res, err := mirror.Run(t.Context(), listOf(t, src.release.ImagesList()), src, o)
		must(t, err)
		sums = append(sums, res.SHA256)
	}
	if sums[0] != sums[1] {
		t.Errorf("1 job makes %s, 16 make %s", sums[0], sums[1])
	}
}

// A second run takes everything from the work directory.
func TestReuse(t *testing.T) {
	t.Parallel()
	src := &memory{release: sample(t)}
	o := options(t)
	list := listOf(t, src.release.ImagesList())
	first, err := mirror.Run(t.Context(), list, src, o)
	must(t, err)
	src.served.Store(0)
	second, err := mirror.Run(t.Context(), list, src, o)
	must(t, err)
	if src.served.Load() != 0 || second.Downloaded != 0 || second.Reused != first.Downloaded {
		t.Errorf("the second run read %d bytes: %+v", src.served.Load(), second)
	}
	if first.SHA256 != second.SHA256 {
		t.Errorf("first %s, second %s", first.SHA256, second.SHA256)
	}
}

// A reference by tag is bundled by digest, and the tag is kept as a name.
func TestTags(t *testing.T) {
	t.Parallel()
	src := &memory{release: sample(t)}
	img, _ := src.release.Image(samplerelease.ReleaseImage)
	tag := samplerelease.Prefix + "/release:" + samplerelease.Version
	o := options(t)
	_, err := mirror.Run(t.Context(), listOf(t, tag+"\n"+img.Ref+"\n"), src, o)
	must(t, err)
	inv := verified(t, o.Output)
	if len(inv.Images) != 1 || !inv.Holds(tag) || !inv.Holds(img.Ref) {
		t.Errorf("images: %+v", inv.Images)
	}
}

// A registry that gives other bytes once is asked again; one that does so
// always fails the image, and nothing has the bundle's name.
func TestWrongBytes(t *testing.T) {
	t.Parallel()
	for _, times := range []int64{1, 1000} {
		src := &memory{release: sample(t)}
		layer := src.release.Images[0]
		data, ok := src.release.Manifest(layer.Manifest)
		if !ok {
			t.Fatal("no manifest")
		}
		var manifest v1.Manifest
		must(t, json.Unmarshal(data, &manifest))
		bad := manifest.Layers[0].Digest
		var lies atomic.Int64
		src.blob = func(d digest.Digest, r io.Reader) io.Reader {
			if d == bad && lies.Add(1) <= times {
				return &flipping{r}
			}
			return r
		}
		o := options(t)
		_, err := mirror.Run(t.Context(), listOf(t, layer.Ref), src, o)
		var failed *mirror.ImageError
		switch {
		case times == 1 && err != nil:
			t.Errorf("wrong once: %v", err)
		case times > 1 && (!errors.As(err, &failed) || failed.Ref != layer.Ref || !strings.Contains(err.Error(), bad.String())):
			t.Errorf("wrong always: %v", err)
		}
		if src.rejected.Load() == 0 {
			t.Error("the endpoint was not rejected")
		}
		if _, err := os.Stat(o.Output); (err == nil) != (times == 1) {
			t.Errorf("output: %v", err)
		}
	}
}

// flipping changes the last byte of every read.
type flipping struct{ io.Reader }

func (f *flipping) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if n > 0 {
		p[n-1] ^= 1
	}
	return n, err
}

func TestKeepGoing(t *testing.T) {
	t.Parallel()
	src := &memory{release: sample(t)}
	gone := samplerelease.Prefix + "/gone@" + digest.FromString("gone").String()
	list := src.release.ImagesList() + gone + "\n"
	o := options(t)
	_, err := mirror.Run(t.Context(), listOf(t, list), src, o)
	var failed *mirror.ImageError
	if !errors.As(err, &failed) || failed.Ref != gone || !errors.Is(err, pull.ErrNotFound) {
		t.Errorf("without KeepGoing: %v", err)
	}
	o.KeepGoing = true
	res, err := mirror.Run(t.Context(), listOf(t, list), src, o)
	must(t, err)
	if len(res.Failed) != 1 || res.Failed[0].Ref != gone {
		t.Errorf("failed: %v", res.Failed)
	}
	if inv := verified(t, o.Output); len(inv.Images) != len(src.release.Images) {
		t.Errorf("%d images", len(inv.Images))
	}
}

func TestBusy(t *testing.T) {
	t.Parallel()
	src := &memory{release: sample(t)}
	o := options(t)
	list := listOf(t, src.release.Images[0].Ref)
	var inner error
	src.blob = func(_ digest.Digest, r io.Reader) io.Reader {
		if inner == nil {
			_, inner = mirror.Run(t.Context(), list, src, o)
		}
		return r
	}
	o.Jobs = 1
	_, err := mirror.Run(t.Context(), list, src, o)
	must(t, err)
	if !errors.Is(inner, filelock.ErrBusy) {
		t.Errorf("a second run in the same directory: %v", inner)
	}
}
