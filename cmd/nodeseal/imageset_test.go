package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nodeseal/nodeseal/internal/testregistry"
)

// serveCatalog serves an operator catalog of a file until the script ends, as registry.redhat.io/redhat/index:v4.20,
// with the images acme/operator:1 and :2, acme/bundle:1 and :2 beside it, and appends to registries.conf: catalog FILE.
// Of @operator-N@ and @bundle-N@ in the file it makes references by digest.
func serveCatalog(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs("catalog-registry")
	ts.Check(os.Mkdir(dir, 0o755))
	content := testregistry.NewContent(dir)
	text := ts.ReadFile(args[0])
	for _, name := range []string{"operator", "bundle"} {
		for i, tag := range []string{"1", "2"} {
			layer, err := content.AddTar(func(w *tar.Writer) error { return writeText(w, i+len(name), 10<<10) })
			ts.Check(err)
			d, err := content.AddImage("acme/"+name, []testregistry.Layer{layer}, tag)
			ts.Check(err)
			text = strings.ReplaceAll(text, "@"+name+"-"+tag+"@", "registry.redhat.io/acme/"+name+"@"+d.String())
		}
	}
	layer, err := content.AddTar(func(w *tar.Writer) error {
		if err := w.WriteHeader(&tar.Header{Name: "configs/acme/catalog.yaml", Typeflag: tar.TypeReg, Size: int64(len(text)), Mode: 0o644}); err != nil {
			return err
		}
		_, err := io.WriteString(w, text)
		return err
	})
	ts.Check(err)
	config := v1.Image{
		Platform: v1.Platform{OS: "linux", Architecture: "amd64"}, RootFS: v1.RootFS{Type: "layers"},
		Config: v1.ImageConfig{Labels: map[string]string{"operators.operatorframework.io.index.configs.v1": "/configs"}},
	}
	config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, layer.DiffID)
	data, err := json.Marshal(config)
	ts.Check(err)
	d, err := content.AddBlob(data)
	ts.Check(err)
	manifest, err := json.Marshal(v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest,
		Config: v1.Descriptor{MediaType: v1.MediaTypeImageConfig, Digest: d, Size: int64(len(data))}, Layers: []v1.Descriptor{layer.Descriptor},
	})
	ts.Check(err)
	content.AddManifest("redhat/index", v1.MediaTypeImageManifest, manifest, "v4.20")
	addr, stop, err := (&testregistry.Registry{Content: content}).Serve()
	ts.Check(err)
	ts.Defer(stop)
	storeAsRegistry(ts, dir, addr, "redhat/index:v4.20", "acme/operator:1", "acme/operator:2", "acme/bundle:1", "acme/bundle:2")
	conf := ts.ReadFile("registries.conf") + testregistry.RegistriesConf("registry.redhat.io", addr)
	ts.Check(os.WriteFile(ts.MkAbs("registries.conf"), []byte(conf), 0o600))
}

// storeAsRegistry writes the blobs below dir, and the images by their tags, to stored as the registry of the
// distribution project stores them, which oc-mirror runs for its cache and puts into its archives.
func storeAsRegistry(ts *testscript.TestScript, dir, addr string, images ...string) {
	root := ts.MkAbs("stored/docker/registry/v2")
	write := func(path string, data []byte) {
		ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
		ts.Check(os.WriteFile(path, data, 0o600))
	}
	blob := func(data []byte) digest.Digest {
		d := digest.FromBytes(data)
		write(filepath.Join(root, "blobs/sha256", d.Encoded()[:2], d.Encoded(), "data"), data)
		return d
	}
	blobs, err := os.ReadDir(dir)
	ts.Check(err)
	for _, b := range blobs {
		data, err := os.ReadFile(filepath.Join(dir, b.Name()))
		ts.Check(err)
		blob(data)
	}
	for _, image := range images {
		repository, tag, _ := strings.Cut(image, ":")
		resp, err := http.Get("http://" + addr + "/v2/" + repository + "/manifests/" + tag)
		ts.Check(err)
		data, err := io.ReadAll(resp.Body)
		ts.Check(errors.Join(err, resp.Body.Close()))
		d := blob(data)
		write(filepath.Join(root, "repositories", repository, "_manifests/tags", tag, "current/link"), []byte(d.String()))
		write(filepath.Join(root, "repositories", repository, "_manifests/revisions/sha256", d.Encoded(), "link"), []byte(d.String()))
	}
}
