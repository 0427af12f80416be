package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nodeseal/nodeseal/internal/testregistry"
)

// serveTold serves a release until the script ends, and writes images.lst and registries.conf:
// told VERSION. Of its layers one is that of each version, the others differ from version to
// version in little: a program, a moved file, a database in two images, and what is new. The version
// "another" has no layer of others.
func serveTold(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs("registry-" + args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	content := testregistry.NewContent(dir)
	program := noise(1, 700_000)
	text := bytes.Repeat([]byte("a line of a text that every version has\n"), 500)
	add := func(files map[string][]byte) testregistry.Layer {
		l, err := content.AddTar(func(w *tar.Writer) error { return writeFiles(w, files) })
		ts.Check(err)
		return l
	}
	for at := 1000; args[0] != "1" && at < len(program); at += 50_000 {
		program[at]++
	}
	moved := "usr/lib/" + args[0] + "/library"
	shared := add(map[string][]byte{"etc/shared": []byte("of every version")})
	if args[0] == "another" {
		shared = add(map[string][]byte{"etc/shared": []byte("of none")})
	}
	app := add(map[string][]byte{"usr/bin/app": program, moved: noise(2, 200_000), "etc/version": []byte(args[0])})
	database := func(image uint64) testregistry.Layer {
		return add(map[string][]byte{"var/lib/db": append(noise(image, 300_000), args[0]...), "usr/share/text": append(text, args[0]...)})
	}
	fresh := add(map[string][]byte{"new": []byte("of version " + args[0])})
	var list strings.Builder
	for _, image := range []struct {
		name   string
		layers []testregistry.Layer
	}{
		{"ns/app", []testregistry.Layer{shared, app, database(3)}}, {"ns/tool", []testregistry.Layer{shared, database(4)}},
		{"ns/fresh", []testregistry.Layer{shared, fresh}},
	} {
		d, err := content.AddImage(image.name, image.layers)
		ts.Check(err)
		fmt.Fprintf(&list, "registry.example.com/%s@%s\n", image.name, d)
	}
	addr, stop, err := (&testregistry.Registry{Content: content}).Serve()
	ts.Check(err)
	ts.Defer(stop)
	ts.Check(os.WriteFile(ts.MkAbs("images.lst"), []byte(list.String()), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("registries.conf"), []byte(testregistry.RegistriesConf("registry.example.com", addr)), 0o600))
}

// noise are bytes that nothing compresses.
func noise(seed uint64, n int) []byte {
	rnd := rand.New(rand.NewPCG(seed, seed))
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(rnd.Uint32())
	}
	return out
}

func writeFiles(w *tar.Writer, files map[string][]byte) error {
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(files[name])), Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		if _, err := w.Write(files[name]); err != nil {
			return err
		}
	}
	return nil
}
