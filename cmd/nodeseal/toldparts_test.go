package main

import (
	"archive/tar"
	"fmt"
	"os"
	"runtime"

	"github.com/opencontainers/go-digest"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nodeseal/nodeseal/internal/testregistry"
)

// serveToldParts serves a release until the script ends, and writes images.lst, a.lst, b.lst,
// multi.lst and registries.conf: toldparts VERSION. All images share a file in layers of their own.
// One of them is for this machine and another one, of which the other one comes first in a bundle. It
// sets PLATFORM to the first one, PLATFORMS to both.
func serveToldParts(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs("registry-" + args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	content := testregistry.NewContent(dir)
	app := func(seed, try int) testregistry.Layer {
		program := noise(uint64(seed), 200_000)
		for at := 1000; args[0] != "1" && at < len(program); at += 50_000 {
			program[at]++
		}
		l, err := content.AddTar(func(w *tar.Writer) error {
			return writeFiles(w, map[string][]byte{"usr/bin/app": program, "usr/share/text": noise(9, 100_000), "etc/version": fmt.Append(nil, args[0], try)})
		})
		ts.Check(err)
		return l
	}
	write := func(file, list string) { ts.Check(os.WriteFile(ts.MkAbs(file), []byte(list), 0o600)) }
	var all string
	for i, name := range []string{"a", "b"} {
		d, err := content.AddImage("ns/"+name, []testregistry.Layer{app(i, 0)})
		ts.Check(err)
		list := fmt.Sprintf("registry.example.com/ns/%s@%s\n", name, d)
		write(name+".lst", list)
		all += list
	}
	other := "arm64"
	if runtime.GOARCH == other {
		other = "amd64"
	}
	ts.Setenv("PLATFORM", "linux/"+runtime.GOARCH)
	ts.Setenv("PLATFORMS", "linux/"+runtime.GOARCH+",linux/"+other)
	images := make(map[string]digest.Digest)
	for try := 0; images[other] == "" || images[runtime.GOARCH] < images[other]; try++ {
		for i, arch := range []string{runtime.GOARCH, other} {
			d, err := content.AddImageFor("ns/multi", arch, []testregistry.Layer{app(i+10, try)})
			ts.Check(err)
			images[arch] = d
		}
	}
	d, err := content.AddIndex("ns/multi", images)
	ts.Check(err)
	multi := fmt.Sprintf("registry.example.com/ns/multi@%s\n", d)
	write("multi.lst", multi)
	write("images.lst", all+multi)
	addr, stop, err := (&testregistry.Registry{Content: content}).Serve()
	ts.Check(err)
	ts.Defer(stop)
	write("registries.conf", testregistry.RegistriesConf("registry.example.com", addr))
}
