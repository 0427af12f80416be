package catalog

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/internal/memtest"
	"github.com/nodeseal/nodeseal/internal/pull"
)

// quay is a package with two channels; its stable channel has 1.0.0 <- 1.1.0 <- 1.2.0 <- 2.0.0, and 2.0.0 skips 1.2.1.
const quay = `{"schema":"olm.package","name":"quay","defaultChannel":"stable"}
{"schema":"olm.channel","package":"quay","name":"stable","entries":[{"name":"quay.v1.0.0"},{"name":"quay.v1.1.0","replaces":"quay.v1.0.0"},
 {"name":"quay.v1.2.0","replaces":"quay.v1.1.0"},{"name":"quay.v1.2.1","replaces":"quay.v1.1.0"},{"name":"quay.v2.0.0","replaces":"quay.v1.2.0","skips":["quay.v1.2.1"]}]}
{"schema":"olm.channel","package":"quay","name":"old","entries":[{"name":"quay.v1.0.0"}]}
{"schema":"olm.deprecations","package":"quay","entries":[{"reference":{"schema":"olm.bundle","name":"x"}}]}
`

func bundleOf(pkg, version string) string {
	return fmt.Sprintf(`{"schema":"olm.bundle","package":%q,"name":"%s.v%s","image":"quay.io/x/%s-bundle@%s","properties":[{"type":"olm.gvk","value":{"group":"x"}},{"type":"olm.package","value":{"packageName":%q,"version":%q}}],
 "relatedImages":[{"name":"","image":"quay.io/x/%s-bundle@%s"},{"name":"op","image":"quay.io/x/%s@%s"}]}
`, pkg, pkg, version, pkg, digest.FromString("bundle"+version), pkg, version, pkg, digest.FromString("bundle"+version), pkg, digest.FromString(version))
}

func sample() string {
	text := quay
	for _, v := range []string{"1.0.0", "1.1.0", "1.2.0", "1.2.1", "2.0.0"} {
		text += bundleOf("quay", v)
	}
	return text + `{"schema":"olm.package","name":"nmstate"}{"schema":"olm.channel","package":"nmstate","name":"4.20","entries":[{"name":"nmstate.v4.20.0-202509"},{"name":"nmstate.v4.20.0-202510","replaces":"nmstate.v4.20.0-202509"}]}` +
		bundleOf("nmstate", "4.20.0-202509") + bundleOf("nmstate", "4.20.0-202510")
}

func TestSelect(t *testing.T) {
	t.Parallel()
	var c Catalog
	if err := c.ReadJSON(strings.NewReader(sample())); err != nil {
		t.Fatal(err)
	}
	stable := func(minimum, maximum string) Package {
		return Package{Name: "quay", Channels: []Channel{{Name: "stable", Range: Range{minimum, maximum}}}}
	}
	for name, test := range map[string]struct {
		want     Want
		bundles  string
		problems string
	}{
		"heads of all":        {Want{}, "nmstate.v4.20.0-202510 quay.v1.0.0 quay.v2.0.0", ""},
		"heads of a package":  {Want{Packages: []Package{{Name: "quay"}}}, "quay.v1.0.0 quay.v2.0.0", ""},
		"head of a channel":   {Want{Packages: []Package{stable("", "")}}, "quay.v2.0.0", ""},
		"full channel":        {Want{Full: true, Packages: []Package{stable("", "")}}, "quay.v1.0.0 quay.v1.1.0 quay.v1.2.0 quay.v1.2.1 quay.v2.0.0", ""},
		"from on":             {Want{Packages: []Package{stable("1.2.0", "")}}, "quay.v1.2.0 quay.v1.2.1 quay.v2.0.0", ""},
		"up to":               {Want{Packages: []Package{stable("", "1.1.0")}}, "quay.v1.0.0 quay.v1.1.0", ""},
		"between":             {Want{Packages: []Package{stable("1.1.0", "1.2.0")}}, "quay.v1.1.0 quay.v1.2.0", ""},
		"skipped needs skips": {Want{Packages: []Package{stable("1.2.1", "1.3.0")}}, "quay.v1.2.1 quay.v2.0.0", ""},
		"exactly":             {Want{Packages: []Package{stable("1.2.1", "1.2.1")}}, "quay.v1.2.1", ""},
		"exactly, prerelease": {Want{Packages: []Package{{Name: "nmstate", Range: Range{"4.20.0-202509", "4.20.0-202509"}}}}, "nmstate.v4.20.0-202509", ""},
		"range, prereleases":  {Want{Packages: []Package{{Name: "nmstate", Range: Range{"4.19.0", ""}}}}, "nmstate.v4.20.0-202509 nmstate.v4.20.0-202510", ""},
		"up to a prerelease":  {Want{Packages: []Package{{Name: "nmstate", Range: Range{"", "4.20.0-202509"}}}}, "nmstate.v4.20.0-202509", ""},
		"one channel lacks it": {Want{Packages: []Package{{Name: "quay", Range: Range{"1.1.0", "1.2.0"}, Channels: []Channel{{Name: "stable"}, {Name: "old"}}}}},
			"quay.v1.1.0 quay.v1.2.0", "operator quay: channel old has no version from 1.1.0 to 1.2.0"},
		"of all channels one": {Want{Packages: []Package{{Name: "quay", Range: Range{"1.1.0", "1.2.0"}}}}, "quay.v1.1.0 quay.v1.2.0", ""},
		"range of a package":  {Want{Packages: []Package{{Name: "quay", Range: Range{"1.0.0", "1.1.0"}}}}, "quay.v1.0.0 quay.v1.1.0", ""},
		"bundles by name":     {Want{Packages: []Package{{Name: "quay", Bundles: []string{"quay.v1.1.0", "quay.v9"}}}}, "quay.v1.1.0", "the bundle quay.v9, which the catalog lacks"},
		"no such package":     {Want{Packages: []Package{{Name: "qauy"}}}, "", "operator qauy is not in the catalog"},
		"no such channel":     {Want{Packages: []Package{{Name: "quay", Channels: []Channel{{Name: "stabel"}}}}}, "", `operator quay: it has no channel stabel; it has ["old" "stable"]`},
		"no such version":     {Want{Packages: []Package{stable("3.0.0", "3.1.0")}}, "", "channel stable has no version from 3.0.0 to 3.1.0"},
		"nothing in range":    {Want{Packages: []Package{{Name: "quay", Range: Range{"3.0.0", ""}}}}, "", "none of its channels has a version from 3.0.0 on"},
		"no version":          {Want{Packages: []Package{stable("x y", "")}}, "", "versions from x y on"},
	} {
		found, problems := c.Select(test.want)
		var names []string
		for _, b := range found {
			names = append(names, b.Name)
			if len(b.Images) != 2 {
				t.Errorf("%s: %s has the images %q", name, b.Name, b.Images)
			}
		}
		if got := strings.Join(names, " "); got != test.bundles {
			t.Errorf("%s: %s, want %s", name, got, test.bundles)
		}
		if text := fmt.Sprint(errors.Join(problems...)); (len(problems) > 0) != (test.problems != "") || !strings.Contains(text, test.problems) {
			t.Errorf("%s: problems %s, want %q", name, text, test.problems)
		}
	}
}

// TestNoVersion: a bundle of which nobody can say whether a range has it is named.
func TestNoVersion(t *testing.T) {
	t.Parallel()
	var c Catalog
	if err := c.ReadJSON(strings.NewReader(pack("p"))); err != nil {
		t.Fatal(err)
	}
	_, problems := c.Select(Want{Packages: []Package{{Name: "p", Range: Range{Min: "1.0.0"}}}})
	if len(problems) != 1 || !strings.Contains(problems[0].Error(), `bundle p.v1 has the version ""`) {
		t.Errorf("%v", problems)
	}
}

// Channels that are no way of updates do not end in a loop, and are refused.
func TestNoHead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`[{"name":"a","replaces":"b"},{"name":"b","replaces":"a"}]`:                             "each of its entries is replaced",
		`[{"name":"a"},{"name":"b"}]`:                                                           "no entry replaces a or b",
		`[{"name":"h","replaces":"a"},{"name":"a","replaces":"b"},{"name":"b","replaces":"a"}]`: "",
	} {
		var c Catalog
		if err := c.ReadJSON(strings.NewReader(`{"schema":"olm.channel","package":"p","name":"c","entries":` + text + `}`)); err != nil {
			t.Fatal(err)
		}
		_, problems := c.Select(Want{Packages: []Package{{Name: "p", Channels: []Channel{{Name: "c", Range: Range{Min: "1.0.0"}}}}}})
		if len(problems) == 0 || !strings.Contains(problems[0].Error(), want) {
			t.Errorf("%s: %v, want %q", text, problems, want)
		}
	}
}

func TestReadYAML(t *testing.T) {
	t.Parallel()
	var c Catalog
	err := c.ReadYAML(strings.NewReader("---\nschema: olm.package\nname: p\n---\nschema: olm.channel\npackage: p\nname: c\nentries:\n- name: p.v1\n---\nschema: olm.bundle\npackage: p\nname: p.v1\nimage: quay.io/x/p:1\n"))
	if err != nil {
		t.Fatal(err)
	}
	if found, problems := c.Select(Want{}); len(problems) > 0 || len(found) != 1 || !slices.Equal(found[0].Images, []string{"quay.io/x/p:1"}) {
		t.Errorf("%+v, %v", found, problems)
	}
}

// TestReadYAMLMarks: what stands behind a mark of documents is read, and what no mark divides is refused.
func TestReadYAMLMarks(t *testing.T) {
	t.Parallel()
	long := "--- #" + strings.Repeat(" long", 2000) + "\n"
	var c Catalog
	err := c.ReadYAML(strings.NewReader("schema: olm.package\nname: p\n--- # the channel\nschema: olm.channel\npackage: p\nname: c\nentries:\n- name: p.v1\n" +
		"---\t\nschema: olm.package\nname: q\n" + long + "schema: olm.package\nname: r\n...\nschema: olm.package\nname: s\n" +
		"--- {schema: olm.bundle, package: p, name: p.v1, image: \"quay.io/x/p:1\"}"))
	if err != nil {
		t.Fatal(err)
	}
	if found, _ := c.Select(Want{}); len(found) != 1 || len(c.packages) != 4 {
		t.Errorf("%+v of %d packages", found, len(c.packages))
	}
	for _, text := range []string{"# two\n{schema: olm.package, name: p}\n{schema: olm.package, name: q}\n", "schema: olm.package\nname: p\r---\rschema: olm.package\r"} {
		if err := new(Catalog).ReadYAML(strings.NewReader(text)); !errors.Is(err, ErrCatalog) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// images are what a registry has.
type images map[digest.Digest][]byte

func (m images) put(data []byte) v1.Descriptor {
	d := digest.FromBytes(data)
	m[d] = data
	return v1.Descriptor{Digest: d, Size: int64(len(data))}
}

func (m images) Manifest(_ context.Context, ref string) (pull.Manifest, error) {
	_, d, _ := strings.Cut(ref, "@")
	data, ok := m[digest.Digest(d)]
	if !ok {
		return pull.Manifest{}, pull.ErrNotFound
	}
	return pull.Manifest{Digest: digest.Digest(d), MediaType: v1.MediaTypeImageManifest, Bytes: data}, nil
}

func (m images) Blob(_ context.Context, _ string, d digest.Digest, _, _ int64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m[d])), nil
}

// image makes one of tars, and returns its reference.
func (m images) image(t *testing.T, labels map[string]string, layers ...[]byte) string {
	t.Helper()
	config, err := json.Marshal(v1.Image{Config: v1.ImageConfig{Labels: labels}})
	if err != nil {
		t.Fatal(err)
	}
	image := v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, Config: m.put(config)}
	for _, l := range layers {
		image.Layers = append(image.Layers, m.put(l))
	}
	data, err := json.Marshal(image)
	if err != nil {
		t.Fatal(err)
	}
	return "quay.io/x/index@" + m.put(data).Digest.String()
}

// tarOf makes a tar of names and contents.
func tarOf(t *testing.T, files ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for i := 0; i < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: files[i], Typeflag: tar.TypeReg, Size: int64(len(files[i+1])), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func pack(name string) string {
	return `{"schema":"olm.package","name":"` + name + `"}{"schema":"olm.channel","package":"` + name + `","name":"c","entries":[{"name":"` + name + `.v1"}]}{"schema":"olm.bundle","package":"` + name + `","name":"` + name + `.v1","image":"quay.io/x/` + name + `:1"}`
}

// TestFetch: of the files of layers those count that a container would see.
func TestFetch(t *testing.T) {
	t.Parallel()
	m := make(images)
	lower := tarOf(t, "bin/opm", "x", "configs/a/catalog.json", pack("a"), "configs/b/catalog.json", pack("b"), "configs/c/catalog.json", pack("c"),
		"configs/d/catalog.json", pack("d"), "elsewhere/e.json", pack("e"), "configs/a/README.md", "no catalog")
	upper := tarOf(t, "configs/.wh.a", "", "./configs/b/catalog.json", strings.ReplaceAll(pack("b"), "v1", "v2"), "configs/c/.wh..wh..opq", "", "configs/c/new.yaml", "schema: olm.package\nname: new\n")
	labels := map[string]string{configsLabel: "/configs"}
	ref := m.image(t, labels, lower, upper)
	c, err := Fetch(t.Context(), m, ref, "linux/amd64", nil)
	if err != nil {
		t.Fatal(err)
	}
	found, _ := c.Select(Want{})
	var names []string
	for _, b := range found {
		names = append(names, b.Name)
	}
	if got := strings.Join(names, " "); got != "b.v2 d.v1" {
		t.Errorf("bundles %s, want b.v2 d.v1", got)
	}
	for name, test := range map[string]struct {
		ref, want string
		err       error
	}{
		"no label":   {m.image(t, nil, lower), configsLabel, ErrCatalog},
		"a database": {m.image(t, map[string]string{databaseLabel: "/db"}, lower), "opm migrate", ErrCatalog},
		"no files":   {m.image(t, map[string]string{configsLabel: "/none"}, lower), "none has no files", ErrCatalog},
		"no JSON":    {m.image(t, labels, tarOf(t, "configs/x.json", "{")), "configs/x.json: ", ErrCatalog},
		"no image":   {"quay.io/x/none@" + digest.FromString("none").String(), "", pull.ErrNotFound},
		"cut off":    {m.image(t, labels, lower[:1546]), "EOF", io.ErrUnexpectedEOF},
	} {
		if _, err := Fetch(t.Context(), m, test.ref, "linux/amd64", nil); !errors.Is(err, test.err) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %v with %q", name, err, test.err, test.want)
		}
	}
	for d, data := range m { // other bytes than the digest says
		if bytes.Equal(data, upper) {
			m[d] = tarOf(t, "configs/b/catalog.json", strings.ReplaceAll(pack("b"), "v1", "v9"))
		}
	}
	if _, err := Fetch(t.Context(), m, ref, "linux/amd64", nil); !errors.Is(err, pull.ErrDigest) {
		t.Errorf("a layer of other bytes: %v", err)
	}
}

// TestHardLink: what a hard link has is not read, and that is named.
func TestHardLink(t *testing.T) {
	t.Parallel()
	var layer bytes.Buffer
	layer.Write(tarOf(t, "configs/a/catalog.json", pack("a"))[:1024])
	w := tar.NewWriter(&layer)
	if err := errors.Join(w.WriteHeader(&tar.Header{Name: "configs/b/catalog.json", Linkname: "other/b.json", Typeflag: tar.TypeLink}), w.Close()); err != nil {
		t.Fatal(err)
	}
	m := make(images)
	c, err := Fetch(t.Context(), m, m.image(t, map[string]string{configsLabel: "/configs"}, layer.Bytes()), "linux/amd64", nil)
	if err != nil {
		t.Fatal(err)
	}
	found, problems := c.Select(Want{})
	if len(found) != 1 || len(problems) != 1 || !strings.Contains(problems[0].Error(), "configs/b/catalog.json is a hard link to other/b.json") {
		t.Errorf("%v, %v", found, problems)
	}
}

// FuzzRead: whatever a catalog is, it is read in bounded memory, and choosing ends.
func FuzzRead(f *testing.F) {
	f.Add([]byte(sample()), false)
	f.Add([]byte("schema: olm.package\nname: p\n---\nschema: olm.channel\npackage: p\nname: c\nentries: [{name: a}]\n"), true)
	f.Add(memtest.Repeat(1<<20, `{"schema":"olm.channel","package":"p","name":"c","entries":[`, `{},`, `{}]}`), false)
	f.Add(memtest.Repeat(1<<20, "", `{"schema":"olm.package","name":"p"}`, ""), false)
	f.Fuzz(func(t *testing.T, data []byte, isYAML bool) {
		var c Catalog
		memtest.Hold(t, int64(len(data))*16+96<<20, func() {
			read := c.ReadJSON
			if isYAML {
				read = c.ReadYAML
			}
			err := read(bytes.NewReader(data))
			if err != nil && !errors.Is(err, ErrCatalog) && !errors.Is(err, ErrTooLarge) {
				t.Errorf("an error of another kind: %v", err)
			}
			c.Select(Want{})
			c.Select(Want{Packages: []Package{{Name: "quay", Range: Range{Min: "1.0.0"}}}})
		})
	})
}
