//go:build corpus

// Package corpus holds nodeseal to what containers/storage takes: layers of all kinds,
// each with the library's verdict and ours, at staging and on the node. Its table is
// docs/compatibility.md.
package corpus_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/filetable"
	"github.com/nodeseal/nodeseal/bundle/layerrules"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/extract"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/store/verify"
	"github.com/nodeseal/nodeseal/internal/testenv"
	"go.podman.io/storage"
	"go.podman.io/storage/pkg/reexec"
)

var update = flag.Bool("update", false, "write docs/compatibility.md")

const page = "../../../docs/compatibility.md"

func TestMain(m *testing.M) {
	// The library unpacks layers in processes of this program.
	if reexec.Init() {
		return
	}
	os.Exit(m.Run())
}

// row is one line of the table.
type row struct {
	group, name, library, ours, note string
}

// TestLayers gives every layer of the corpus to the library, to staging and to the node.
// No layer that staging passes is refused by the node, in either form of a store, and
// every store of layers that were taken verifies clean.
func TestLayers(t *testing.T) {
	testenv.NeedRoot(t)
	lib := library(t)
	src := storetest.NewSource(t, bundle.Expanded)
	var rows []row
	names := make(map[string]string) // of images, to their case
	for i, c := range layers(t) {
		full := c.group + ": " + c.name
		var rules layerrules.Checker
		staged := filetable.Tabulate(bytes.NewReader(c.layer), filetable.NewWriter(io.Discard), &rules)
		node := unpack(t, c.layer)
		libErr := put(lib, c.layer)
		r := row{group: c.group, name: c.name, library: verdict(libErr), ours: verdict(staged)}
		switch {
		case staged == nil && node != nil:
			t.Errorf("%s: staging passes what the node refuses: %v", full, node)
		case staged != nil && node == nil:
			t.Errorf("%s: staging refuses what the node takes: %v", full, staged)
		case libErr == nil && errors.Is(staged, layerrules.ErrLeadsOut):
			r.note = "the library takes it for a name inside; docs/threat-model.md says why it is refused"
		case libErr == nil && staged != nil:
			t.Errorf("%s: the library takes it, staging refuses it: %v", full, staged)
		case libErr != nil && staged == nil:
			r.note = "the library: " + reason(libErr)
		case staged != nil:
			r.note = reason(staged)
		}
		if _, lost := rules.Kept(); staged == nil && lost != "" {
			r.note = "goes whole into a delta: " + lost
		}
		rows = append(rows, r)
		if staged == nil {
			repository := fmt.Sprintf("quay.io/corpus/case-%d", i)
			names[repository] = full
			src.Add(storetest.Image{Repository: repository, Layers: [][]byte{c.layer}, Labels: map[string]string{"case": full}})
		}
	}
	t.Run("directory", func(t *testing.T) {
		target := filepath.Join(t.TempDir(), "store")
		if _, err := dir.Import(t.Context(), src, target, store.ImportOptions{Jobs: 2}); err != nil {
			t.Fatal(err)
		}
		rep, err := verify.Store(t.Context(), target, verify.Options{})
		clean(t, rep, err, names)
	})
	t.Run("image", func(t *testing.T) {
		testenv.NeedTool(t, "fsck.erofs")
		target := filepath.Join(t.TempDir(), "store.erofs")
		if _, err := image.Import(t.Context(), src, target, store.ImportOptions{Jobs: 2}); err != nil {
			t.Fatal(err)
		}
		// Without its digest every layer is read.
		if err := os.Remove(target + image.DigestSuffix); err != nil {
			t.Fatal(err)
		}
		rep, err := image.Verify(t.Context(), target, image.VerifyOptions{})
		if rep != nil {
			rep.Findings = slices.DeleteFunc(rep.Findings, func(f verify.Finding) bool { return f.Path == filepath.Base(target) })
			clean(t, rep.Report, err, names)
		} else {
			t.Error(err)
		}
	})
	if testing.Short() {
		return
	}
	holdPage(t, page, head, "layer", "containers/storage", rows)
}

// clean wants no finding.
func clean(t *testing.T, rep *verify.Report, err error, names map[string]string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range rep.Hurt {
		repository, _, _ := strings.Cut(name, "@")
		t.Errorf("%s verifies as damaged", names[repository])
	}
	for _, f := range rep.Findings {
		t.Errorf("%s: %v", f.Path, f.Err)
	}
}

func verdict(err error) string {
	if err != nil {
		return "refused"
	}
	return "taken"
}

// reason is why something is refused, without what differs from run to run.
func reason(err error) string {
	var named *layerrules.Error
	if errors.As(err, &named) {
		err = named.Err
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	if i := strings.LastIndex(text, ": "); len(text) > 120 && i > 0 {
		text = text[i+2:]
	}
	if len(text) > 120 {
		text = text[:120] + "..."
	}
	return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(text)
}

// unpack is what a node does with a layer.
func unpack(t *testing.T, layer []byte) error {
	t.Helper()
	var table bytes.Buffer
	w := filetable.NewWriter(&table)
	_ = filetable.Tabulate(bytes.NewReader(layer), w, nil) // what is no tar has a table of what is before that shows
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "diff")
	if err := os.Mkdir(name, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err = new(extract.Extractor).Layer(t.Context(), bytes.NewReader(layer), f, io.Discard, extract.Options{Table: filetable.NewReader(&table)})
	return err
}

// library opens a store of the library.
func library(t *testing.T, options ...string) storage.Store {
	t.Helper()
	dir := t.TempDir()
	lib, err := storage.GetStore(storage.StoreOptions{
		RunRoot: filepath.Join(dir, "run"), GraphRoot: filepath.Join(dir, "root"), GraphDriverName: "overlay",
		GraphDriverOptions: append([]string{"overlay.skip_mount_home=true"}, options...),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := lib.Shutdown(true); err != nil {
			t.Error(err)
		}
		lib.Free()
	})
	return lib
}

// put gives the library a layer.
func put(lib storage.Store, layer []byte) error {
	l, _, err := lib.PutLayer("", "", nil, "", false, nil, bytes.NewReader(layer))
	if err == nil {
		err = lib.DeleteLayer(l.ID)
	}
	return err
}

// holdPage holds the rows to a page, or with -update writes it.
func holdPage(t *testing.T, page, head, what, library string, rows []row) {
	t.Helper()
	slices.SortStableFunc(rows, func(a, b row) int { return strings.Compare(a.group, b.group) })
	var b strings.Builder
	b.WriteString(head)
	group := ""
	for _, r := range rows {
		if r.group != group {
			group = r.group
			fmt.Fprintf(&b, "\n## %s\n\n| %s | %s | nodeseal | |\n|---|---|---|---|\n", strings.ToUpper(group[:1])+group[1:], what, library)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", strings.NewReplacer("\n", `\n`, "|", `\|`).Replace(r.name), r.library, r.ours, r.note)
	}
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil { //nolint:gosec // a page of the repository
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(page)
	if err != nil || string(got) != b.String() {
		t.Errorf("%s is not what the corpus gives (%v): make corpus UPDATE=1", filepath.Base(page), err)
	}
}

const head = `# Which layers are taken

This page is generated by the tests of internal/store/corpus (make corpus), which need root.
Every layer is given to containers/storage (the library of CRI-O, podman and skopeo) and to nodeseal: to staging,
which reads it for a bundle, and to both forms of a store. Where staging says "taken" the node takes it, and the store
verifies clean; the test fails otherwise.

A layer that "goes whole into a delta" has something that no store keeps byte for byte: ` + "`bundle --since`" + ` does not
leave it to its base, and ` + "`verify STORE`" + ` compares its files with the checksums of the tar-split instead of the diff ID.
`
