package main

import (
	"archive/tar"
	"encoding/json"
	"io"
	"os"
	"strings"

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
	conf := ts.ReadFile("registries.conf") + testregistry.RegistriesConf("registry.redhat.io", addr)
	ts.Check(os.WriteFile(ts.MkAbs("registries.conf"), []byte(conf), 0o600))
}
