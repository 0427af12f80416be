package mirror_test

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/mirror"
	"github.com/nodeseal/nodeseal/internal/mirror/plan"
	"github.com/nodeseal/nodeseal/internal/pull"
	"github.com/nodeseal/nodeseal/internal/testregistry"
)

const odd = "registry.example.com/aaa/odd" // sorts before the good ones

// oddRegistry has two good images, which share a layer, and what an odd one can be made of.
type oddRegistry struct {
	t       *testing.T
	dir     string
	content *testregistry.Content
	shared  testregistry.Layer // of both good images
	own     testregistry.Layer // of the second one
	config  []byte             // of the second one
	good    [2]string
	goodDoc []byte // the manifest of the second one
	list    string
	// sizes are what the registry says of blobs, instead of what is true.
	sizes map[digest.Digest]int64
}

func newOddRegistry(t *testing.T) *oddRegistry {
	t.Helper()
	dir := t.TempDir()
	r := &oddRegistry{t: t, dir: dir, content: testregistry.NewContent(dir), sizes: make(map[digest.Digest]int64)}
	r.shared, r.own = r.layer("shared"), r.layer("own")
	for i, layers := range [][]testregistry.Layer{{r.shared}, {r.shared, r.own}} {
		name := fmt.Sprintf("ns/good%d", i)
		var diffIDs []digest.Digest
		var descs []v1.Descriptor
		for _, l := range layers {
			diffIDs, descs = append(diffIDs, l.DiffID), append(descs, l.Descriptor)
		}
		r.config = r.configOf(diffIDs...)
		r.goodDoc = r.manifestOf(r.config, v1.MediaTypeImageConfig, descs...)
		r.good[i] = "registry.example.com/" + name + "@" + r.content.AddManifest(name, v1.MediaTypeImageManifest, r.goodDoc).String()
		r.list += r.good[i] + "\n"
	}
	return r
}

// layer adds a layer of one file.
func (r *oddRegistry) layer(text string) testregistry.Layer {
	r.t.Helper()
	l, err := r.content.AddTar(func(w *tar.Writer) error {
		if err := w.WriteHeader(&tar.Header{Name: text, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		_, err := w.Write([]byte(text))
		return err
	})
	must(r.t, err)
	return l
}

func (r *oddRegistry) configOf(diffIDs ...digest.Digest) []byte {
	r.t.Helper()
	data, err := json.Marshal(v1.Image{Platform: v1.Platform{OS: "linux", Architecture: "amd64"}, RootFS: v1.RootFS{Type: "layers", DiffIDs: diffIDs}})
	must(r.t, err)
	return data
}

func (r *oddRegistry) manifestOf(config []byte, configType string, layers ...v1.Descriptor) []byte {
	r.t.Helper()
	d, err := r.content.AddBlob(config)
	must(r.t, err)
	data, err := json.Marshal(v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest,
		Config: v1.Descriptor{MediaType: configType, Digest: d, Size: int64(len(config))}, Layers: layers,
	})
	must(r.t, err)
	return data
}

// add adds an odd image to the list.
func (r *oddRegistry) add(manifest []byte) {
	r.list += odd + "@" + r.content.AddManifest("aaa/odd", v1.MediaTypeImageManifest, manifest).String() + "\n"
}

func (r *oddRegistry) source() mirror.Source {
	r.t.Helper()
	addr, stop, err := (&testregistry.Registry{Content: r.content}).Serve()
	must(r.t, err)
	r.t.Cleanup(stop)
	conf := filepath.Join(r.t.TempDir(), "registries.conf")
	must(r.t, os.WriteFile(conf, []byte(testregistry.RegistriesConf("registry.example.com", addr)), 0o600))
	client, err := pull.New(pull.Options{RegistriesConf: conf, Retries: 1})
	must(r.t, err)
	return &sizing{client, r.sizes}
}

// sizing is a registry that says other sizes of some blobs than they have.
type sizing struct {
	*pull.Client
	sizes map[digest.Digest]int64
}

func (s *sizing) BlobSize(ctx context.Context, ref string, d digest.Digest) (int64, error) {
	if size, ok := s.sizes[d]; ok {
		return size, nil
	}
	return s.Client.BlobSize(ctx, ref, d)
}

func sized(l testregistry.Layer, size int64) v1.Descriptor {
	d := l.Descriptor
	d.Size = size
	return d
}

const tebibyte = 1 << 40

// oddImages are images of which each can be wrong alone. want is a part of the error; "" means
// that the image is taken.
func oddImages() map[string]struct {
	add  func(r *oddRegistry)
	want string
	// but has what is wanted of a form of layers, if it differs.
	but map[string]string
} {
	return map[string]struct {
		add  func(r *oddRegistry)
		want string
		but  map[string]string
	}{
		"3 TiB of a layer that others have": {add: func(r *oddRegistry) {
			r.add(r.manifestOf(r.configOf(r.shared.DiffID), v1.MediaTypeImageConfig, sized(r.shared, 3*tebibyte)))
		}},
		"3 TiB of its own layer": {add: func(r *oddRegistry) {
			l := r.layer("mine")
			r.add(r.manifestOf(r.configOf(l.DiffID), v1.MediaTypeImageConfig, sized(l, 3*tebibyte)))
		}},
		"3 TiB, and the registry says so": {want: "not enough space", add: func(r *oddRegistry) {
			l := r.layer("mine")
			r.sizes[l.Digest] = 3 * tebibyte
			r.add(r.manifestOf(r.configOf(l.DiffID), v1.MediaTypeImageConfig, sized(l, 3*tebibyte)))
		}},
		"3 TiB of a layer that others have, and the registry says so": {want: "not enough space", add: func(r *oddRegistry) {
			r.sizes[r.shared.Digest] = 1
			l := r.layer("mine")
			r.sizes[l.Digest] = 3 * tebibyte
			r.add(r.manifestOf(r.configOf(l.DiffID, r.shared.DiffID), v1.MediaTypeImageConfig, sized(l, 3*tebibyte), sized(r.shared, 1)))
		}},
		"17 TiB together": {want: "more than the", add: func(r *oddRegistry) {
			l := r.layer("mine")
			r.add(r.manifestOf(r.configOf(l.DiffID, l.DiffID, l.DiffID, l.DiffID, l.DiffID), v1.MediaTypeImageConfig,
				sized(l, 4*tebibyte), sized(l, 4*tebibyte), sized(l, 4*tebibyte), sized(l, 4*tebibyte), sized(l, tebibyte)))
		}},
		"one byte of a layer that others have, and the registry says so": {add: func(r *oddRegistry) {
			r.sizes[r.shared.Digest] = 1
			r.add(r.manifestOf(r.configOf(r.shared.DiffID), v1.MediaTypeImageConfig, sized(r.shared, 1)))
		}},
		"another diff ID of a layer that others have": {want: "diff ID", add: func(r *oddRegistry) {
			r.add(r.manifestOf(r.configOf(digest.FromString("other")), v1.MediaTypeImageConfig, r.shared.Descriptor))
		}},
		"the diff ID of another layer": {want: "diff ID", add: func(r *oddRegistry) {
			r.add(r.manifestOf(r.configOf(r.own.DiffID), v1.MediaTypeImageConfig, r.shared.Descriptor))
		}},
		"the configuration of another image, whose layers are in another order": {want: "diff ID", add: func(r *oddRegistry) {
			r.add(r.manifestOf(r.config, v1.MediaTypeImageConfig, r.own.Descriptor, r.shared.Descriptor))
		}},
		"the configuration of another image, for one layer less": {want: "layers", add: func(r *oddRegistry) {
			r.add(r.manifestOf(r.config, v1.MediaTypeImageConfig, r.own.Descriptor))
		}},
		"the manifest of another image as configuration": {want: "configuration", add: func(r *oddRegistry) {
			r.add(r.manifestOf(r.goodDoc, v1.MediaTypeImageConfig, r.own.Descriptor))
		}},
		"the configuration of another image as layer": {want: "layer", but: map[string]string{"original": "is a config, want a layer"}, add: func(r *oddRegistry) {
			r.add(r.manifestOf(r.configOf(digest.FromBytes(r.config)), v1.MediaTypeImageConfig,
				v1.Descriptor{MediaType: v1.MediaTypeImageLayer, Digest: digest.FromBytes(r.config), Size: int64(len(r.config))}))
		}},
		"an artifact that says 3 TiB of a layer that images have": {want: "bytes", add: func(r *oddRegistry) {
			r.add(r.manifestOf([]byte("{}"), "application/vnd.example", sized(r.shared, 3*tebibyte)))
		}},
		"an artifact that says one byte of a layer that images have": {want: "bytes", add: func(r *oddRegistry) {
			r.add(r.manifestOf([]byte("{}"), "application/vnd.example", sized(r.shared, 1)))
		}},
		"an artifact that says one byte of its own layer": {want: "bytes", add: func(r *oddRegistry) {
			r.add(r.manifestOf([]byte("{}"), "application/vnd.example", sized(r.layer("mine"), 1)))
		}},
		"an artifact with the layer of images as configuration": {want: "as its configuration", but: map[string]string{"expanded": ""}, add: func(r *oddRegistry) {
			layer, err := os.ReadFile(filepath.Join(r.dir, r.shared.Digest.Encoded()))
			must(r.t, err)
			r.add(r.manifestOf(layer, "application/vnd.example", r.own.Descriptor))
		}},
		"an artifact with the manifest of an image as layer": {add: func(r *oddRegistry) {
			_, err := r.content.AddBlob(r.goodDoc)
			must(r.t, err)
			r.add(r.manifestOf([]byte("{}"), "application/vnd.example",
				v1.Descriptor{MediaType: "text/plain", Digest: digest.FromBytes(r.goodDoc), Size: int64(len(r.goodDoc))}))
		}},
		"a layer that the registry lacks": {want: "404", add: func(r *oddRegistry) {
			l := r.layer("mine")
			must(r.t, os.Remove(filepath.Join(r.dir, l.Digest.Encoded())))
			r.add(r.manifestOf(r.configOf(l.DiffID), v1.MediaTypeImageConfig, l.Descriptor))
		}},
	}
}

// TestOneOddImage: with --keep-going, whatever is wrong with one image fails that one, which is named with its
// reason; the others are in a bundle that is whole, in every form.
func TestOneOddImage(t *testing.T) {
	t.Parallel()
	for name, tt := range oddImages() {
		for _, form := range []string{"expanded", "kept", "original"} {
			t.Run(name+", "+form, func(t *testing.T) {
				t.Parallel()
				r := newOddRegistry(t)
				tt.add(r)
				want := tt.want
				if but, ok := tt.but[form]; ok {
					want = but
				}
				o := options(t)
				o.KeepGoing = true
				switch form {
				case "kept":
					var err error
					o.Keep, err = imagelist.NewKeep([]string{"*"})
					must(t, err)
				case "original":
					o.Layers = bundle.Original
				}
				list := listOf(t, r.list)
				runs := []string{"first"}
				if form == "kept" {
					runs = append(runs, "again") // finds layers in its work directory
				}
				for _, run := range runs {
					res, err := mirror.Run(t.Context(), list, r.source(), o)
					must(t, err)
					inv := verified(t, o.Output)
					for _, ref := range r.good {
						imageOf(t, inv, ref)
					}
					switch {
					case want == "" && (len(res.Failed) > 0 || len(inv.Images) != 3):
						t.Errorf("%s: failed: %v", run, res.Failed)
					case want != "" && (len(res.Failed) != 1 || !strings.HasPrefix(res.Failed[0].Ref, odd) || !strings.Contains(res.Failed[0].Error(), want)):
						t.Errorf("%s: failed: %v, want %q of the odd image only", run, res.Failed, want)
					}
				}
			})
		}
	}
}

// TestOneOddImageDryRun: nor does such an image end a dry run.
func TestOneOddImageDryRun(t *testing.T) {
	t.Parallel()
	r := newOddRegistry(t)
	l := r.layer("mine")
	r.sizes[l.Digest] = 3 * tebibyte
	r.add(r.manifestOf(r.configOf(l.DiffID), v1.MediaTypeImageConfig, sized(l, 3*tebibyte)))
	gone := r.layer("gone")
	must(t, os.Remove(filepath.Join(r.dir, gone.Digest.Encoded())))
	r.add(r.manifestOf(r.configOf(gone.DiffID), v1.MediaTypeImageConfig, gone.Descriptor))
	o := options(t)
	o.KeepGoing = true
	e, err := mirror.Estimate(t.Context(), listOf(t, r.list), r.source(), o, time.Now)
	must(t, err)
	if err := e.Plan.Check(); err != nil || len(e.Failed) != 1 || !errors.Is(e.Failed[0], plan.ErrNoSpace) {
		t.Errorf("%v; failed: %v", err, e.Failed)
	}
}

// TestFileOfOneImage: a file of the source that cannot be read is one image's failure;
// one of the work directory ends the run.
func TestFileOfOneImage(t *testing.T) {
	t.Parallel()
	for _, local := range []bool{false, true} {
		r := newOddRegistry(t)
		l := r.layer("mine")
		r.add(r.manifestOf(r.configOf(l.DiffID), v1.MediaTypeImageConfig, l.Descriptor))
		o := options(t)
		o.KeepGoing = true
		path := "/var/lib/containers/storage/overlay/l/diff/x"
		if local {
			path = filepath.Join(o.Work, "frames", "x")
		}
		src := &unreadable{r.source().(*sizing), l.DiffID, &fs.PathError{Op: "read", Path: path, Err: errors.New("input/output error")}}
		res, err := mirror.Run(t.Context(), listOf(t, r.list), src, o)
		switch {
		case local && err == nil:
			t.Errorf("the run went on without its work directory: %v", res.Failed)
		case !local && (err != nil || len(res.Failed) != 1 || !strings.Contains(res.Failed[0].Error(), l.Digest.String())):
			t.Errorf("%v, %+v", err, res)
		}
	}
}

// unreadable is a store that cannot read one layer.
type unreadable struct {
	*sizing
	diffID digest.Digest
	err    error
}

func (u *unreadable) PlainLayer(_ context.Context, diffID digest.Digest) (io.ReadCloser, bool, error) {
	if diffID == u.diffID {
		return nil, false, u.err
	}
	return nil, false, nil
}
