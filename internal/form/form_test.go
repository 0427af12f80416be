package form_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, f := range form.Forms() {
		if got, err := form.Parse(string(f)); got != f || err != nil {
			t.Errorf("%q: %q, %v", f, got, err)
		}
	}
	for _, s := range []string{"", "Dir", "erofs"} {
		if got, err := form.Parse(s); err == nil {
			t.Errorf("%q is taken for %q", s, got)
		}
	}
}

// layout makes a directory with a store "dir", and a store "image" whose file is beside it.
func layout(t *testing.T) string {
	t.Helper()
	at := t.TempDir()
	for _, name := range []string{"dir", "image"} {
		if err := os.Mkdir(filepath.Join(at, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(at, "image.erofs"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// A link is not the image that stands beside a store.
	if err := errors.Join(os.Mkdir(filepath.Join(at, "linked"), 0o755), os.Symlink("image.erofs", filepath.Join(at, "linked.erofs"))); err != nil {
		t.Fatal(err)
	}
	return at
}

func TestFiles(t *testing.T) {
	t.Parallel()
	at := layout(t)
	for _, test := range []struct {
		path         string
		of, at       bool // whether there is an image
		file, fileAt string
	}{
		{"dir", false, false, "dir.erofs", "dir.erofs"},
		{"image", true, true, "image.erofs", "image.erofs"},
		{"image/", true, true, "image.erofs", "image.erofs"},
		{"image.erofs", false, true, "image.erofs.erofs", "image.erofs"},
		{"linked", false, false, "linked.erofs", "linked.erofs"},
		{"missing", false, true, "missing.erofs", "missing"},
	} {
		path := filepath.Join(at, test.path)
		if file, ok := form.FileOf(path); ok != test.of || file != filepath.Join(at, test.file) {
			t.Errorf("FileOf(%s) = %s, %v", test.path, file, ok)
		}
		if file, ok := form.FileAt(path); ok != test.at || file != filepath.Join(at, test.fileAt) {
			t.Errorf("FileAt(%s) = %s, %v", test.path, file, ok)
		}
	}
}

func TestAsImage(t *testing.T) {
	t.Parallel()
	at := layout(t)
	stores := func(names ...string) (paths []string) {
		for _, n := range names {
			paths = append(paths, filepath.Join(at, n))
		}
		return paths
	}
	for _, test := range []struct {
		form   form.Form
		stores []string
		want   bool
	}{
		{"", stores("image"), false},
		{form.Dir, stores("image"), false},
		{form.Image, stores("dir"), true},
		{form.Same, nil, false},
		{form.Same, stores("dir", "missing"), false},
		{form.Same, stores("dir", "image"), true},
	} {
		if got, err := test.form.AsImage(t.Context(), at, test.stores...); got != test.want || err != nil {
			t.Errorf("%q with %v: %v, %v", test.form, test.stores, got, err)
		}
	}
}

// made makes a store of one image in each form, and returns both names.
func made(t *testing.T) map[string]string {
	t.Helper()
	testenv.NeedRoot(t)
	at := testenv.NeedFS(t, "ext4")
	src := storetest.NewSource(t, bundle.Expanded)
	src.Add(storetest.Image{Repository: "example.com/app", Layers: [][]byte{storetest.Tar(t, storetest.File("a", "content"))}})
	stores := map[string]string{"directory": filepath.Join(at, "dir"), "image": filepath.Join(at, "image")}
	if _, err := dir.Import(t.Context(), src, stores["directory"], store.ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := image.Import(t.Context(), src, stores["image"]+image.Suffix, store.ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := form.Place(stores["image"], true, true); err != nil {
		t.Fatal(err)
	}
	return stores
}

// TestBothForms holds that callers see the same of a store, whichever form it has.
func TestBothForms(t *testing.T) {
	for name, path := range made(t) {
		t.Run(name, func(t *testing.T) {
			plan, err := form.PlanSeal(t.Context(), path, seal.Options{})
			if err != nil || len(plan.Steps) != 2 {
				t.Errorf("before the seal: %+v, %v; want immutable and mounted", plan, err)
			}
			rep, err := form.Seal(t.Context(), path, seal.Options{})
			if err != nil || !rep.Sealed() {
				t.Fatalf("sealed: %+v, %v", rep, err)
			}
			if rep, err := form.State(t.Context(), path); err != nil || !rep.Sealed() {
				t.Errorf("state: %+v, %v", rep, err)
			}
			if plan, err := form.PlanSeal(t.Context(), path, seal.Options{}); err != nil || len(plan.Steps) != 0 {
				t.Errorf("after the seal: %+v, %v; want nothing", plan, err)
			}
			found, err := form.Verify(t.Context(), path, nil)
			if err != nil || len(found.Findings) != 0 {
				t.Errorf("verified: %+v, %v", found, err)
			}
			inv, err := form.Inventory(path)
			if err != nil || len(inv.Images) != 1 {
				t.Errorf("inventory: %+v, %v", inv, err)
			}
			mounted, err := form.ReadContents(path)
			if err != nil || mounted.Path != path || mounted.Stored == nil || len(mounted.Store.Images) != 1 {
				t.Errorf("contents: %+v, %v", mounted, err)
			}
			if plan, err := form.PlanUnseal(t.Context(), path); err != nil || len(plan.Steps) != 2 {
				t.Errorf("before it is unsealed: %+v, %v", plan, err)
			}
			if rep, err := form.Unseal(t.Context(), path); err != nil || rep.Immutable != 0 || rep.Mounted {
				t.Errorf("unsealed: %+v, %v", rep, err)
			}
			away, err := form.ReadContents(path)
			if err != nil || away.Stored == nil || !bytes.Equal(away.Stored.RawInventory(), mounted.Stored.RawInventory()) {
				t.Errorf("contents of what is not mounted: %+v, %v", away, err)
			}
		})
	}
}

func TestReadContentsOfNone(t *testing.T) {
	t.Parallel()
	if _, err := form.ReadContents(t.TempDir()); !errors.Is(err, seal.ErrNotAStore) {
		t.Errorf("an empty directory: %v", err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := dir.WriteEmpty(empty); err != nil {
		t.Fatal(err)
	}
	if c, err := form.ReadContents(empty); err != nil || c.Stored != nil || !c.Store.Empty() {
		t.Errorf("an empty store: %+v, %v", c, err)
	}
	if _, err := form.Verify(t.Context(), filepath.Join(empty, "missing"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a store that is missing: %v", err)
	}
}
