package main

import (
	"archive/tar"
	"os"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nodeseal/nodeseal/internal/testregistry"
)

// serveLost serves an image until the script ends, and writes images.lst and registries.conf:
// lostlayers VERSION. One of its layers every store gives back, one has a whiteout with data (as
// AUFS left them), which none does, and one is of the version.
func serveLost(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs("registry-" + args[0])
	ts.Check(os.Mkdir(dir, 0o755))
	content := testregistry.NewContent(dir)
	var layers []testregistry.Layer
	for _, files := range []map[string]string{{"same": "the same"}, {".wh..wh.orph": "data"}, {"version": args[0]}} {
		l, err := content.AddTar(func(w *tar.Writer) error {
			for name, data := range files {
				if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data)), Typeflag: tar.TypeReg}); err != nil {
					return err
				}
				if _, err := w.Write([]byte(data)); err != nil {
					return err
				}
			}
			return nil
		})
		ts.Check(err)
		layers = append(layers, l)
	}
	d, err := content.AddImage("ns/lost", layers)
	ts.Check(err)
	addr, stop, err := (&testregistry.Registry{Content: content}).Serve()
	ts.Check(err)
	ts.Defer(stop)
	ts.Check(os.WriteFile(ts.MkAbs("images.lst"), []byte("registry.example.com/ns/lost@"+d.String()+"\n"), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("registries.conf"), []byte(testregistry.RegistriesConf("registry.example.com", addr)), 0o600))
}
