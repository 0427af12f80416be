package base_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/internal/base"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// release is one of two releases: three images on a layer that both have, one of
// them with a layer of its own.
func release(t *testing.T, form bundle.LayerForm, version string) *storetest.Source {
	t.Helper()
	src := storetest.NewSource(t, form)
	shared := storetest.Tar(t, storetest.Dir("etc/"), storetest.File("etc/shared", strings.Repeat("shared\n", 1000)))
	second := storetest.Tar(t, storetest.File("second", "too"))
	own := storetest.Tar(t, storetest.File("version", version))
	src.Add(storetest.Image{Repository: "example.com/a", Layers: [][]byte{shared}, Compression: "gzip"})
	src.Add(storetest.Image{Repository: "example.com/b", Layers: [][]byte{shared, second}, Compression: "gzip"})
	src.Add(storetest.Image{Repository: "example.com/c", Layers: [][]byte{shared, own}, Compression: "gzip"})
	return src
}

// content gives archive.Write what a source holds.
type content struct {
	*storetest.Source
	enc *seekable.Encoder
}

func (c content) OpenFrames(ctx context.Context, d digest.Digest) (io.ReadCloser, []seekable.Frame, error) {
	r, err := c.OpenLayerUnverified(ctx, d)
	if err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, nil, err
	}
	var buf bytes.Buffer
	w := c.enc.NewWriter(ctx, &buf)
	if _, err = w.Write(data); err == nil {
		err = archive.PadContent(w, int64(len(data)))
	}
	frames, cerr := w.Close()
	return io.NopCloser(&buf), frames, errors.Join(err, cerr)
}

// write makes a bundle of src, without what the inventory old has, nil for all.
func write(t *testing.T, src *storetest.Source, old *bundle.Inventory) string {
	t.Helper()
	inv := *src.Inventory()
	inv.Blobs = slices.Clone(inv.Blobs)
	if old != nil {
		has := make(map[digest.Digest]bool)
		for _, b := range old.Blobs {
			has[b.Digest] = !b.Kind.Small()
		}
		inv.Base = &bundle.Base{Inventory: digest.FromString("old"), Blobs: []bundle.Blob{}}
		inv.Blobs = slices.DeleteFunc(inv.Blobs, func(b bundle.Blob) bool {
			if has[b.Digest] {
				inv.Base.Blobs = append(inv.Base.Blobs, b)
			}
			return has[b.Digest]
		})
	}
	enc, err := seekable.NewEncoder(1, 1)
	must(t, err)
	path := filepath.Join(t.TempDir(), "bundle.tar.zst")
	f, err := os.Create(path)
	must(t, err)
	_, err = archive.Write(t.Context(), f, &inv, content{src, enc}, enc, nil)
	must(t, errors.Join(err, f.Close()))
	return path
}

func open(t *testing.T, path string) *base.Place {
	t.Helper()
	p, err := base.Open(t.Context(), path)
	must(t, err)
	t.Cleanup(func() { must(t, p.Close()) })
	return p
}

// opened is a bundle, and the source of the whole one.
func opened(t *testing.T, path string) (*archive.File, store.Source) {
	t.Helper()
	f, err := archive.OpenFile(t.Context(), path)
	must(t, err)
	t.Cleanup(func() { must(t, f.Close()) })
	whole, err := base.Whole(f)
	must(t, err)
	return f, whole
}

// TestComplete reads every layer and table of a bundle with a base, in every pair
// of forms: they are those of the whole bundle.
func TestComplete(t *testing.T) {
	t.Parallel()
	for _, form := range []bundle.LayerForm{bundle.Expanded, bundle.Original} {
		for _, there := range []bundle.LayerForm{bundle.Expanded, bundle.Original} {
			t.Run(fmt.Sprintf("%s on %s", form, there), func(t *testing.T) {
				t.Parallel()
				full := release(t, form, "new")
				f, whole := opened(t, write(t, full, release(t, form, "old").Inventory()))
				if !bytes.Equal(whole.RawInventory(), full.RawInventory()) {
					t.Error("the whole inventory is not the full bundle's")
				}
				old := open(t, write(t, release(t, there, "old"), nil))
				src, err := base.Complete(t.Context(), whole, f.Inventory().Base, []*base.Place{old}, base.Options{})
				must(t, err)
				if src.Layers() != 2 || !slices.Equal(src.Paths(), []string{old.Path()}) {
					t.Errorf("%d layers come from %q", src.Layers(), src.Paths())
				}
				damaged, err := src.Verify(t.Context(), 2, nil)
				must(t, err)
				if len(damaged) > 0 {
					t.Errorf("damaged: %v", damaged)
				}
				plan, err := store.NewPlan(t.Context(), src, store.Selection{Architecture: "amd64"})
				must(t, err)
				for _, l := range plan.Layers {
					checkLayer(t, src, l)
				}
			})
		}
	}
}

// checkLayer reads a layer where the plan says that it is.
func checkLayer(t *testing.T, src store.Source, l *store.Layer) {
	t.Helper()
	r, err := src.OpenLayerUnverified(t.Context(), l.Blob)
	must(t, err)
	defer r.Close()
	got, err := digest.FromReader(r)
	must(t, err)
	if got != l.Blob {
		t.Errorf("layer %s is %s", l.Blob, got)
	}
	if l.Table == "" {
		return
	}
	table, err := src.OpenTable(t.Context(), l.Table)
	must(t, err)
	defer table.Close()
	if got, err = digest.FromReader(table); err != nil || got != l.Table {
		t.Errorf("table %s is %s, %v", l.Table, got, err)
	}
}

// TestMissing names what nobody has.
func TestMissing(t *testing.T) {
	t.Parallel()
	f, whole := opened(t, write(t, release(t, bundle.Expanded, "new"), release(t, bundle.Expanded, "old").Inventory()))
	left := f.Inventory().Base
	complete := func(places ...*base.Place) *base.MissingError {
		_, err := base.Complete(t.Context(), whole, left, places, base.Options{Architecture: "amd64"})
		var missing *base.MissingError
		if !errors.As(err, &missing) {
			t.Fatalf("want a MissingError, got %v", err)
		}
		return missing
	}
	if err := complete(); !errors.Is(err, base.ErrNone) || len(err.Layers) != 2 || err.Needed != 2 {
		t.Errorf("no base: %+v", err)
	}
	other := storetest.NewSource(t, bundle.Expanded)
	other.Add(storetest.Image{Repository: "example.com/d", Layers: [][]byte{storetest.Tar(t, storetest.File("second", "too"))}})
	half := open(t, write(t, other, nil))
	err := complete(half)
	if !errors.Is(err, base.ErrIncomplete) || len(err.Layers) != 1 || !strings.Contains(err.Error(), "example.com/a@") ||
		!strings.Contains(err.Error(), half.Path()) {
		t.Errorf("half of a base: %v", err)
	}
	// A bundle with a base has what it has itself, no more.
	itself := open(t, write(t, release(t, bundle.Expanded, "new"), release(t, bundle.Expanded, "old").Inventory()))
	if err := complete(itself); !errors.Is(err, base.ErrNone) {
		t.Errorf("itself: %v", err)
	}
	if _, err := base.Open(t.Context(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such base: %v", err)
	}
	// Of images that need nothing of it, nothing is missing.
	part, perr := store.Part(whole, func(*bundle.Image) bool { return false })
	must(t, perr)
	_, perr = base.Complete(t.Context(), part, left, nil, base.Options{})
	must(t, perr)
}

// TestStore takes layers from a store's files; one that was changed is told, with
// its place, and read from a bundle where that is known to be needed.
func TestStore(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	old := release(t, bundle.Expanded, "old")
	target := filepath.Join(t.TempDir(), "store")
	_, err := dir.Import(t.Context(), old, target, store.ImportOptions{})
	must(t, err)
	path := write(t, old, nil)
	full := release(t, bundle.Expanded, "new")
	f, whole := opened(t, write(t, full, old.Inventory()))
	complete := func(links bool, places ...*base.Place) *base.Source {
		src, err := base.Complete(t.Context(), whole, f.Inventory().Base, places, base.Options{Links: links})
		must(t, err)
		return src
	}
	src := complete(true, open(t, target))
	if damaged, err := src.Verify(t.Context(), 1, nil); err != nil || len(damaged) > 0 {
		t.Errorf("a whole store: %v, %v", damaged, err)
	}
	if at, ok := src.Locate(full.Inventory().Images[0].Layers[0]); !ok || at.Table != "" {
		t.Errorf("a store has no file tables, but: %+v, %v", at, ok)
	}

	shared := full.Inventory().Images[0].Layers[0].DiffID
	file := filepath.Join(target, store.DiffDir(store.LayerID("", shared)), "etc/shared")
	must(t, os.WriteFile(file, []byte("changed"), 0o600))
	src = complete(false, open(t, target), open(t, path))
	damaged, err := src.Verify(t.Context(), 1, nil)
	if err != nil || len(damaged) != 1 || damaged[0].Layer != shared || damaged[0].Path != target {
		t.Errorf("a damaged store: %v, %v", damaged, err)
	}
	cause := &store.Error{Kind: store.ErrDamaged, Op: "extracting layer", Digest: shared, Err: errors.New("damaged")}
	var blamed *base.DamagedError
	if !errors.As(src.Blame(t.Context(), cause), &blamed) || blamed.Path != target {
		t.Errorf("who is to blame: %v", src.Blame(t.Context(), cause))
	}
	cause.Digest = full.Inventory().Images[2].Layers[1].DiffID
	if errors.As(src.Blame(t.Context(), cause), &blamed) {
		t.Errorf("the base is to blame for a layer of the bundle: %v", src.Blame(t.Context(), cause))
	}
	src = complete(true, open(t, target), open(t, path))
	if damaged, err = src.Verify(t.Context(), 1, nil); err != nil || len(damaged) > 0 {
		t.Errorf("with a bundle in reserve: %v, %v", damaged, err)
	}
	if p := open(t, target); !p.Links() {
		t.Error("a store of nodeseal's is not linked to")
	}
	must(t, os.RemoveAll(filepath.Join(target, store.OwnDir)))
	if p := open(t, target); p.Links() {
		t.Error("another store is linked to")
	}
	must(t, os.RemoveAll(filepath.Join(target, store.LayersDir)))
	if _, err := base.Open(t.Context(), target); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what is no store any more: %v", err)
	}
}
