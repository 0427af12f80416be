package mirror_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/mirror"
	"github.com/nodeseal/nodeseal/internal/pull"
	"github.com/nodeseal/nodeseal/internal/testregistry"
	"github.com/nodeseal/nodeseal/internal/trust"
)

// oddLayer is an image in a registry whose manifest says something else of its layer.
type oddLayer struct {
	content *testregistry.Content
	dir     string
	layer   testregistry.Layer
	ref     string
	client  *pull.Client
}

// newOddLayer adds an image with one layer, whose descriptor change alters.
func newOddLayer(t *testing.T, change func(*v1.Descriptor)) *oddLayer {
	t.Helper()
	o := &oddLayer{dir: t.TempDir()}
	o.content = testregistry.NewContent(o.dir)
	var err error
	o.layer, err = o.content.AddTar(func(w *tar.Writer) error {
		body := strings.Repeat("foreign ", 50_000)
		if err := w.WriteHeader(&tar.Header{Name: "f", Mode: 0o644, Size: int64(len(body)), Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		_, err := w.Write([]byte(body))
		return err
	})
	must(t, err)
	config, err := json.Marshal(v1.Image{
		Platform: v1.Platform{OS: "linux", Architecture: "amd64"}, RootFS: v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{o.layer.DiffID}},
	})
	must(t, err)
	d, err := o.content.AddBlob(config)
	must(t, err)
	desc := o.layer.Descriptor
	change(&desc)
	data, err := json.Marshal(v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest,
		Config: v1.Descriptor{MediaType: v1.MediaTypeImageConfig, Digest: d, Size: int64(len(config))}, Layers: []v1.Descriptor{desc},
	})
	must(t, err)
	o.ref = "registry.example.com/ns/odd@" + o.content.AddManifest("ns/odd", v1.MediaTypeImageManifest, data).String()
	addr, stop, err := (&testregistry.Registry{Content: o.content}).Serve()
	must(t, err)
	t.Cleanup(stop)
	conf := filepath.Join(t.TempDir(), "registries.conf")
	must(t, os.WriteFile(conf, []byte(testregistry.RegistriesConf("registry.example.com", addr)), 0o600))
	o.client, err = pull.New(pull.Options{RegistriesConf: conf, Retries: 1})
	must(t, err)
	return o
}

// bundle bundles the image.
func (o *oddLayer) bundle(t *testing.T, change func(*mirror.Options)) (*mirror.Result, error) {
	t.Helper()
	opts := options(t)
	change(&opts)
	return mirror.Run(t.Context(), listOf(t, o.ref+"\n"), o.client, opts)
}

const foreignLayer = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"

// TestForeign: a layer that the registry lacks comes from the addresses of the manifest, with
// no credentials, and its digest proves it.
func TestForeign(t *testing.T) {
	t.Parallel()
	var blob []byte
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("credentials were sent")
		}
		switch r.URL.Path {
		case "/right":
			_, _ = w.Write(blob)
		case "/wrong":
			_, _ = w.Write(append(bytes.Clone(blob[:len(blob)-1]), 0xff))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(elsewhere.Close)
	for name, tt := range map[string]struct {
		urls []string
		want error
	}{
		"right":               {[]string{elsewhere.URL + "/right"}, nil},
		"the second":          {[]string{elsewhere.URL + "/gone", "ftp://example.com/x", elsewhere.URL + "/right"}, nil},
		"nowhere":             {[]string{elsewhere.URL + "/gone"}, bundle.ErrForeignLayer},
		"no address":          {nil, bundle.ErrForeignLayer},
		"other bytes":         {[]string{elsewhere.URL + "/wrong"}, errAny},
		"a file of the disk":  {[]string{"file:///etc/passwd"}, errAny},
		"with a user's names": {[]string{strings.Replace(elsewhere.URL, "http://", "http://user:secret@", 1) + "/right"}, errAny},
	} {
		o := newOddLayer(t, func(d *v1.Descriptor) { d.MediaType, d.URLs = foreignLayer, tt.urls })
		path := filepath.Join(o.dir, o.layer.Digest.Encoded())
		var err error
		blob, err = os.ReadFile(path)
		must(t, err)
		must(t, os.Remove(path))
		var out string
		_, err = o.bundle(t, func(opts *mirror.Options) { out = opts.Output })
		switch {
		case tt.want == nil && err != nil, tt.want != nil && err == nil, tt.want != nil && !errors.Is(tt.want, errAny) && !errors.Is(err, tt.want):
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		case err != nil && strings.Contains(err.Error(), "secret"):
			t.Errorf("%s: a password is repeated: %v", name, err)
		case err == nil:
			verified(t, out)
		}
	}
}

// errAny stands for any error.
var errAny = errors.New("any error")

// TestTrueSize: where the manifest is wrong about a layer's size, the inventory has both, also
// in a later run that finds the layer in its work directory, and in a delta.
func TestTrueSize(t *testing.T) {
	t.Parallel()
	for _, wrong := range []int64{0, 1, 1 << 30} {
		o := newOddLayer(t, func(d *v1.Descriptor) { d.Size = wrong })
		for _, keep := range []string{"none", "*"} {
			var opts mirror.Options
			change := func(now *mirror.Options) {
				if opts.Output != "" {
					now.Work, now.Output = opts.Work, opts.Output
				}
				var err error
				now.Keep, err = imagelist.NewKeep([]string{keep})
				must(t, err)
				now.Since = opts.Since
				opts = *now
			}
			for _, run := range []string{"first", "again", "delta"} {
				if run == "delta" {
					since, err := mirror.ReadSince(t.Context(), opts.Output, trust.Bundle{Insecure: true})
					must(t, err)
					opts.Since = since
					opts.Output += ".delta"
				}
				_, err := o.bundle(t, change)
				must(t, err)
				inv := verified(t, opts.Output)
				l := inv.Images[0].Layers[0]
				if l.Size != wrong || l.TrueSize != o.layer.Size || l.RegistrySize() != o.layer.Size {
					t.Errorf("size %d, keep %s, %s: the layer has %d and %d, want %d and %d", wrong, keep, run, l.Size, l.TrueSize, wrong, o.layer.Size)
				}
			}
		}
	}
}

// TestTrueSizeIsOfTheManifest: one manifest is wrong about a layer's size and another is right, in runs
// that share a work directory, in whatever order.
func TestTrueSizeIsOfTheManifest(t *testing.T) {
	t.Parallel()
	const wrong = 7
	right := newOddLayer(t, func(*v1.Descriptor) {})
	odd := newOddLayer(t, func(d *v1.Descriptor) { d.Size = wrong })
	for name, runs := range map[string][]*oddLayer{"right first": {right, odd}, "wrong first": {odd, right}} {
		for _, keep := range []string{"none", "*"} {
			work := ""
			for _, o := range runs {
				var out string
				_, err := o.bundle(t, func(now *mirror.Options) {
					if work == "" {
						work = now.Work
					}
					now.Work, out = work, now.Output
					var err error
					now.Keep, err = imagelist.NewKeep([]string{keep})
					must(t, err)
				})
				must(t, err)
				var want int64
				if o == odd {
					want = o.layer.Size
				}
				l := verified(t, out).Images[0].Layers[0]
				if right.layer.Digest != odd.layer.Digest || l.TrueSize != want || l.RegistrySize() != o.layer.Size {
					t.Errorf("%s, keep %s: the layer has %d and %d, want %d of %d bytes", name, keep, l.Size, l.TrueSize, want, o.layer.Size)
				}
			}
		}
	}
}
