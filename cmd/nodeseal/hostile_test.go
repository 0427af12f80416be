package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/filetable"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
	"github.com/nodeseal/nodeseal/internal/testregistry"
	"github.com/opencontainers/go-digest"
)

// TestHostileImages brings images that want to do harm all the way, through the
// commands: bundle refuses each with its own message, and import those that another
// writer bundled, with exit code 4.
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
						return err
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
			code, _, said := nodeseal("bundle", "-o", filepath.Join(dir, "b.tar.zst"), "--work", filepath.Join(dir, "work"),
				"--images", at("images.lst", "registry.example/hostile/image@"+d.String()+"\n"),
				"--registries-conf", at("registries.conf", testregistry.RegistriesConf("registry.example", addr)))
			if code != exitFailed || !strings.Contains(said, c.says) {
				t.Errorf("bundle: exit code %d, want %d and %q\n%s", code, exitFailed, c.says, said)
			}
			path := filepath.Join(dir, "by-another-writer.tar.zst")
			objects := at("objects.json", `{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "acme"}}`)
			member := strings.Trim(strings.TrimSuffix(c.says, " is refused"), `"`) // as reports show it
			for _, kind := range []string{"as the registry has it", "kept", "expanded"} {
				src := storetest.NewSource(t, map[bool]bundle.LayerForm{true: bundle.Original, false: bundle.Expanded}[kind == "as the registry has it"])
				img := src.Add(storetest.Image{
					Repository: "registry.example/hostile/image", Layers: [][]byte{plainTar(t, c.entries)}, Compression: "gzip", Original: kind == "kept",
				}).Ref
				src.Add(storetest.Image{Repository: "registry.example/good/image", Layers: [][]byte{plainTar(t, []*tar.Header{file("good")})}})
				src.Edit(func(inv *bundle.Inventory) { inv.SetFormat() })
				writeBundle(t, path, src)
				for _, args := range [][]string{{"verify", path}, {"audit", "--objects", objects, "--bundle", path}} {
					code, out, said := nodeseal(args...)
					if code != exitDamaged || !strings.Contains(out, member) || !strings.Contains(out, "hostile/image") {
						t.Errorf("%s, %s: exit code %d, want %d and %q\n%s%s", kind, args[0], code, exitDamaged, member, out, said)
					}
				}
				store := filepath.Join(t.TempDir(), "store")
				if code, _, said := nodeseal("import", path, "--store", store, "--no-seal", "--without", img); code != 0 {
					t.Errorf("%s, import --without: exit code %d\n%s", kind, code, said)
				}
			}
			for _, format := range []string{string(form.Dir), string(form.Image)} {
				t.Run(format, func(t *testing.T) { refusesToImport(t, path, format, c.says) })
			}
			if data, err := os.ReadFile(canary); string(data) != "alive" {
				t.Errorf("the canary says %q, %v", data, err)
			}
		})
	}
}

// plainTar is the tar that has just the entries.
func plainTar(t *testing.T, entries []*tar.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range entries {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// TestOneHash imports bundles that claim one hash for two contents, which nothing
// but their inventories and file tables tells: of two files, of one layer and of
// two, and of two layers.
func TestOneHash(t *testing.T) {
	testenv.NeedRoot(t)
	t.Parallel()
	file := func(name, content string) filetable.Entry {
		return filetable.Entry{Name: name, Type: tar.TypeReg, Size: int64(len(content)), SHA256: sha256.Sum256([]byte(content))}
	}
	lie := func(name, content, claim string) filetable.Entry {
		e := file(name, content)
		e.SHA256 = sha256.Sum256([]byte(claim))
		return e
	}
	image := func(name string, plain []byte) storetest.Image {
		return storetest.Image{Repository: "quay.io/hostile/image-" + name, Labels: map[string]string{"name": name}, Layers: [][]byte{plain}}
	}
	for name, c := range map[string]struct {
		make func(t *testing.T, src *storetest.Source)
		says string
	}{
		"two-files": {func(t *testing.T, src *storetest.Source) {
			plain := storetest.Tar(t, storetest.File("a", "good"), storetest.File("b", "evil"))
			src.Add(image("a", plain))
			src.Retable(digest.FromBytes(plain), file("a", "good"), lie("b", "evil", "good"))
		}, "it claims the hash of another content, sha256:" + digest.FromString("good").Encoded()},
		"two-files-of-two-layers": {func(t *testing.T, src *storetest.Source) {
			good, evil := storetest.Tar(t, storetest.File("a", "good")), storetest.Tar(t, storetest.File("a", "evil"))
			src.Add(image("good", good))
			src.Add(image("evil", evil))
			src.Retable(digest.FromBytes(evil), lie("a", "evil", "good"))
		}, "it claims the hash of another content, sha256:" + digest.FromString("good").Encoded()},
		"two-layers": {func(t *testing.T, src *storetest.Source) {
			good := image("good", storetest.Tar(t, storetest.File("a", "good")))
			good.Compression = "gzip"
			evil := image("evil", storetest.Tar(t, storetest.File("a", "evil")))
			evil.Claim = src.Add(good).Layers[0].Digest
			src.Add(evil)
		}, "one digest is claimed for two contents"},
		"a-layer-and-its-tar": {func(t *testing.T, src *storetest.Source) {
			good, evil := image("good", storetest.Tar(t, storetest.File("a", "good"))), image("evil", storetest.Tar(t, storetest.File("a", "evil")))
			good.Compression, evil.Compression = "gzip", "gzip"
			evil.Claim = src.Add(good).Layers[0].DiffID
			src.Add(evil)
		}, "one digest is claimed for two contents"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := storetest.NewSource(t, bundle.Expanded)
			c.make(t, src)
			path := filepath.Join(t.TempDir(), "b.tar.zst")
			writeBundle(t, path, src)
			for _, format := range []string{string(form.Dir), string(form.Image)} {
				t.Run(format, func(t *testing.T) { refusesToImport(t, path, format, c.says) })
			}
		})
	}
}

// contents are the blobs of a source, for a bundle that nobody but a test would write.
type contents struct{ *storetest.Source }

// OpenFrames implements archive.Content.
func (c contents) OpenFrames(ctx context.Context, d digest.Digest) (io.ReadCloser, []seekable.Frame, error) {
	r, err := c.OpenLayerUnverified(ctx, d)
	return r, nil, err
}

func writeBundle(t *testing.T, path string, src *storetest.Source) {
	t.Helper()
	enc, err := seekable.NewEncoder(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if _, err := archive.Write(t.Context(), &buf, src.Inventory(), contents{src}, enc, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, buf.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// refusesToImport wants a bundle with a hostile image to be refused in either form
// of a store, and nothing to be left.
func refusesToImport(t *testing.T, bundle, format, says string) {
	t.Helper()
	parent := t.TempDir()
	if format == string(form.Image) {
		err := image.Supported(t.Context(), parent)
		testenv.Require(t, err == nil, "the test needs EROFS: %v", err)
	}
	store := filepath.Join(parent, "s", "store")
	code, _, said := nodeseal("import", bundle, "--store", store, "--no-seal", "--format", format)
	if code != exitDamaged || !strings.Contains(said, says) || !strings.Contains(said, "hostile/image") {
		t.Errorf("import: exit code %d, want %d and %q\n%s", code, exitDamaged, says, said)
	}
	// Layers that are not to blame stay for the next run.
	if _, err := dir.Clean(store); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Dir(store)); len(left) > 0 || (err != nil && !errors.Is(err, fs.ErrNotExist)) {
		t.Errorf("it left %v, %v", left, err)
	}
}

// nodeseal runs a command line in this process.
func nodeseal(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, nil, strings.NewReader(""), &out, &errs, nil)
	return code, out.String(), errs.String()
}
