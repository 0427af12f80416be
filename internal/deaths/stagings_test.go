//go:build deaths && linux

package deaths

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/testregistry"
)

// stagings are the commands of the staging machine: bundle, from a registry of this process, and
// carry, to a stick that another form of the bundle is on.
func stagings(t *testing.T) []scenario {
	t.Helper()
	dir := t.TempDir()
	content := testregistry.NewContent(dir)
	list, conf := filepath.Join(dir, "images.lst"), filepath.Join(dir, "registries.conf")
	var refs strings.Builder
	for _, name := range []string{"first", "second"} {
		// One layer is kept while it comes, one is too small for a file of its own.
		large, err := content.AddLayer(random(t, 3<<20))
		must(t, err)
		small, err := content.AddLayer(random(t, 100))
		must(t, err)
		d, err := content.AddImage("ns/"+name, []testregistry.Layer{large, small})
		must(t, err)
		refs.WriteString("registry.example.com/ns/" + name + "@" + d.String() + "\n")
	}
	addr, stop, err := (&testregistry.Registry{Content: content}).Serve()
	must(t, err)
	t.Cleanup(stop)
	must(t, os.WriteFile(list, []byte(refs.String()), 0o600))
	must(t, os.WriteFile(conf, []byte(testregistry.RegistriesConf("registry.example.com", addr)), 0o600))
	out := func(b *bench) string { return filepath.Join(b.disk, "out", "rel.tar.zst") }
	stick := func(b *bench) string { return filepath.Join(b.disk, "stick") }
	return []scenario{
		{
			name: "bundle", one: true,
			setup: func(t *testing.T, b *bench, _ string) {
				t.Helper()
				must(t, os.Mkdir(filepath.Dir(out(b)), 0o755))
			},
			args: func(b *bench, _ string) []string {
				return []string{"bundle", "--quiet", "--images", list, "--registries-conf", conf, "--retries", "0", "--keep-original", "*/second*", "-o", out(b)}
			},
			whole: func(t *testing.T, b *bench, end bool) {
				t.Helper()
				b.wholeBundle(t, out(b), end, "nodeseal-work", "rel.tar.zst")
			},
		},
		{
			name: "carry", one: true, size: 160, // the program is large
			setup: func(t *testing.T, b *bench, _ string) {
				t.Helper()
				must(t, os.Mkdir(stick(b), 0o755))
				b.mustRun(t, "carry", "--quiet", stick(b), "--bundle", b.bundles[1])
			},
			args: func(b *bench, _ string) []string {
				return []string{"carry", "--quiet", stick(b), "--bundle", b.bundles[1], "--split", "64KiB"}
			},
			whole: func(t *testing.T, b *bench, end bool) {
				t.Helper()
				b.wholeBundle(t, filepath.Join(stick(b), "release1.tar.zst"), end,
					"README.html", "README.txt", "SHA256SUMS", "config", "install.sh", "nodeseal", "release1.tar.zst.000", "release1.tar.zst.parts.json")
				if end {
					tool(t, "sh", "-c", "cd "+stick(b)+" && sha256sum --quiet -c SHA256SUMS")
				}
			},
		},
	}
}

// random is a file that does not compress.
func random(t *testing.T, size int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "random")
	data := make([]byte, size)
	_, err := rand.Read(data)
	must(t, errors.Join(err, os.WriteFile(path, data, 0o600)))
	return path
}

// wholeBundle wants the bundle at path to be whole if it is there. In the end it is there, and
// the names are all that is in its directory.
func (b *bench) wholeBundle(t *testing.T, path string, end bool, names ...string) {
	t.Helper()
	_, err := os.Stat(path)
	_, parts := os.Stat(path + ".parts.json")
	if err != nil && parts != nil && !end {
		return
	}
	if code, out := b.run("verify", "--quiet", path); code != 0 {
		t.Errorf("verify: exit code %d\n%s", code, out)
	}
	if !end {
		return
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	must(t, err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, names) {
		t.Errorf("there are %q, want %q", got, names)
	}
}
