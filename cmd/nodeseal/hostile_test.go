package main

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/nodeseal/nodeseal/internal/testenv"
	"github.com/nodeseal/nodeseal/internal/testregistry"
)

// TestHostileImages brings images that want to do harm all the way, through the
// commands: import refuses each with its own message and exit code 4.
func TestHostileImages(t *testing.T) {
	testenv.NeedRoot(t)
	t.Parallel()
	file := func(name string) *tar.Header { return &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644} }
	link := func(kind byte, name, to string) *tar.Header {
		return &tar.Header{Name: name, Linkname: to, Typeflag: kind, Mode: 0o644}
	}
	canary := filepath.Join(t.TempDir(), "canary")
	if err := os.WriteFile(canary, []byte("alive"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		entries []*tar.Header
		says    string
	}{
		"up":                {[]*tar.Header{file("../../canary")}, "it leads out of the layer"},
		"link-up":           {[]*tar.Header{link(tar.TypeLink, "l", "../../../canary")}, "it leads out of the layer"},
		"link-to-a-host":    {[]*tar.Header{link(tar.TypeLink, "l", canary)}, `hard link to "` + canary + `"`},
		"through-a-link":    {[]*tar.Header{link(tar.TypeSymlink, "d", filepath.Dir(canary)), file("d/canary")}, `"d/canary" is refused`},
		"twice":             {[]*tar.Header{file("a"), file("a")}, "the layer holds the same path twice"},
		"name-of-256-bytes": {[]*tar.Header{file(strings.Repeat("n", 256))}, "file name too long"},
		"whiteout-of-own":   {[]*tar.Header{file("a"), file(".wh.a")}, "it is a whiteout of something that the same layer holds"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			content := testregistry.NewContent(dir)
			layer, err := content.AddTar(func(w *tar.Writer) error {
				for _, h := range c.entries {
					if err := w.WriteHeader(h); err != nil {
						return err //nolint:wrapcheck // the test prints it
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			d, err := content.AddImage("hostile/image", []testregistry.Layer{layer})
			if err != nil {
				t.Fatal(err)
			}
			addr, stop, err := (&testregistry.Registry{Content: content}).Serve()
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			at := func(name, content string) string {
				path := filepath.Join(dir, name)
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
				return path
			}
			bundle := filepath.Join(dir, "b.tar.zst")
			code, _, said := nodeseal("bundle", "-o", bundle, "--work", filepath.Join(dir, "work"),
				"--images", at("images.lst", "registry.example/hostile/image@"+d.String()+"\n"),
				"--registries-conf", at("registries.conf", testregistry.RegistriesConf("registry.example", addr)))
			if code != exitDone {
				t.Fatalf("bundle: exit code %d\n%s", code, said)
			}
			for _, format := range []string{formatDir, formatImage} {
				t.Run(format, func(t *testing.T) { refusesToImport(t, bundle, format, c.says) })
			}
			if data, err := os.ReadFile(canary); string(data) != "alive" {
				t.Errorf("the canary says %q, %v", data, err)
			}
		})
	}
}

// refusesToImport wants a bundle with a hostile image to be refused in either form
// of a store, and nothing to be left.
func refusesToImport(t *testing.T, bundle, format, says string) {
	t.Helper()
	dir := t.TempDir()
	if format == formatImage {
		err := image.Supported(t.Context(), dir)
		testenv.Require(t, err == nil, "the test needs EROFS: %v", err)
	}
	store := filepath.Join(dir, "s", "store")
	code, _, said := nodeseal("import", bundle, "--store", store, "--no-seal", "--format", format)
	if code != exitDamaged || !strings.Contains(said, says) || !strings.Contains(said, "hostile/image") {
		t.Errorf("import: exit code %d, want %d and %q\n%s", code, exitDamaged, says, said)
	}
	if left, err := os.ReadDir(filepath.Dir(store)); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}

// nodeseal runs a command line in this process.
func nodeseal(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, nil, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}
