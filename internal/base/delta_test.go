package base_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/delta"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/internal/base"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// deltaContent gives the blobs of a source, and one delta.
type deltaContent struct {
	content
	delta digest.Digest
	data  []byte
}

// OpenFrames implements archive.Content.
func (c deltaContent) OpenFrames(ctx context.Context, d digest.Digest) (io.ReadCloser, []seekable.Frame, error) {
	if d == c.delta {
		return io.NopCloser(bytes.NewReader(c.data)), nil, nil
	}
	return c.content.OpenFrames(ctx, d)
}

var program = strings.Repeat("a program of many lines\n", 500)

// tars are an older layer and a newer one.
func tars(t *testing.T) (old, now []byte) {
	t.Helper()
	old = storetest.Tar(t, storetest.Dir("bin/"), storetest.File("bin/program", program), storetest.File("etc", "1"))
	now = storetest.Tar(t, storetest.Dir("bin/"), storetest.File("bin/program", program+"and one more\n"), storetest.File("etc", "2"))
	return old, now
}

func source(t *testing.T, layer []byte) *storetest.Source {
	t.Helper()
	src := storetest.NewSource(t, bundle.Expanded)
	src.Add(storetest.Image{Repository: "example.com/a", Layers: [][]byte{layer}, Compression: "gzip"})
	return src
}

// deltaOf tells the program by the old one, and the rest as it is.
func deltaOf(t *testing.T, old, now []byte) []byte {
	t.Helper()
	begin, from := bytes.Index(now, []byte(program)), bytes.Index(old, []byte(program))
	end := begin + len(program) + len("and one more\n")
	var buf bytes.Buffer
	w, err := delta.NewWriter(&buf, int64(len(now)), []digest.Digest{digest.FromBytes(old)})
	must(t, err)
	_, err = w.Write(now[:begin])
	must(t, err)
	must(t, w.Changed(delta.File{Path: "bin/program", Offset: int64(from), Size: int64(len(program))}, delta.Change{
		Old: []byte(program), Now: now[begin:end], Ops: []delta.Op{{Copy: int64(len(program)), Literal: int64(end - begin - len(program))}},
	}))
	_, err = w.Write(now[end:])
	must(t, err)
	must(t, w.Close())
	return buf.Bytes()
}

// writeDelta makes a bundle of src in which data tells its layer by older ones.
func writeDelta(t *testing.T, src *storetest.Source, data []byte, from digest.Digest) string {
	t.Helper()
	inv := *src.Inventory()
	d := bundle.Blob{Digest: digest.FromBytes(data), Size: int64(len(data)), Kind: bundle.KindDelta}
	inv.Base = &bundle.Base{Inventory: digest.FromString("old"), Blobs: []bundle.Blob{}}
	inv.Blobs = slices.Clone(inv.Blobs)
	i := slices.IndexFunc(inv.Blobs, func(b bundle.Blob) bool { return b.Kind == bundle.KindLayer })
	layer := inv.Blobs[i]
	inv.Blobs = append(slices.Delete(inv.Blobs, i, i+1), d)
	inv.Base.Blobs = append(inv.Base.Blobs, layer)
	inv.Base.Deltas = []bundle.Delta{{Layer: layer.Digest, Delta: d.Digest, From: []digest.Digest{from}}}
	inv.SetFormat()
	enc, err := seekable.NewEncoder(1, 1)
	must(t, err)
	path := filepath.Join(t.TempDir(), "bundle.tar.zst")
	f, err := os.Create(path)
	must(t, err)
	_, err = archive.Write(t.Context(), f, &inv, deltaContent{content{src, enc}, d.Digest, data}, enc, nil)
	must(t, errors.Join(err, f.Close()))
	return path
}

// TestDelta makes a layer of a delta and an older layer, in a bundle and in a store.
func TestDelta(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	old, now := tars(t)
	oldSource, full := source(t, old), source(t, now)
	f, whole := opened(t, writeDelta(t, full, deltaOf(t, old, now), digest.FromBytes(old)))
	if !bytes.Equal(whole.RawInventory(), full.RawInventory()) {
		t.Error("the whole inventory is not the full bundle's")
	}
	target := filepath.Join(t.TempDir(), "store")
	_, err := dir.Import(t.Context(), oldSource, target, store.ImportOptions{})
	must(t, err)
	complete := func(places ...*base.Place) (*base.Source, error) {
		return base.Complete(t.Context(), whole, f.Inventory().Base, places, base.Options{Architecture: "amd64"})
	}
	for _, path := range []string{write(t, oldSource, nil), target} {
		src, err := complete(open(t, path))
		must(t, err)
		if damaged, err := src.Verify(t.Context(), 2, nil); err != nil || len(damaged) > 0 {
			t.Errorf("%s: %v, %v", path, damaged, err)
		}
		plan, err := store.NewPlan(t.Context(), src, store.Selection{Architecture: "amd64"})
		must(t, err)
		for _, l := range plan.Layers {
			checkLayer(t, src, l)
		}
	}

	made, err := complete(open(t, target))
	must(t, err)
	again := filepath.Join(t.TempDir(), "store")
	_, err = dir.Import(t.Context(), made, again, store.ImportOptions{})
	must(t, err)

	var missing *base.MissingError
	if _, err := complete(); !errors.As(err, &missing) || missing.Needed != 1 || missing.Layers[0].Digest != digest.FromBytes(old) {
		t.Errorf("without the older layer: %v", err)
	}

	// A file of the store that was changed, of the same length, is found and named.
	file := filepath.Join(target, store.DiffDir(store.LayerID("", digest.FromBytes(old))), "bin/program")
	must(t, os.WriteFile(file, []byte(strings.Replace(program, "many", "some", 1)), 0o600))
	src, err := complete(open(t, target))
	must(t, err)
	damaged, err := src.Verify(t.Context(), 1, nil)
	if err != nil || len(damaged) != 1 || !strings.Contains(damaged[0].Error(), `"bin/program"`) || !strings.Contains(damaged[0].Error(), target) ||
		!errors.Is(damaged[0], store.ErrDamaged) {
		t.Errorf("a changed file: %v, %v", damaged, err)
	}
	if _, err = dir.Import(t.Context(), src, filepath.Join(t.TempDir(), "store"), store.ImportOptions{}); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("it is imported: %v", err)
	}
	must(t, os.Remove(file))
	if damaged, err = src.Verify(t.Context(), 1, nil); err != nil || len(damaged) != 1 || !strings.Contains(damaged[0].Error(), `"bin/program"`) {
		t.Errorf("a lost file: %v, %v", damaged, err)
	}
}

// TestDeltaOfAnotherLayer names the delta where it makes another layer of files that are right.
func TestDeltaOfAnotherLayer(t *testing.T) {
	t.Parallel()
	old, now := tars(t)
	other := bytes.Replace(now, []byte("one more"), []byte("two more"), 1)
	f, whole := opened(t, writeDelta(t, source(t, now), deltaOf(t, old, other), digest.FromBytes(old)))
	src, err := base.Complete(t.Context(), whole, f.Inventory().Base, []*base.Place{open(t, write(t, source(t, old), nil))}, base.Options{})
	must(t, err)
	damaged, err := src.Verify(t.Context(), 1, nil)
	if err != nil || len(damaged) != 1 || !errors.Is(damaged[0], store.ErrDamaged) || damaged[0].Path != "" {
		t.Errorf("a wrong delta: %v, %v", damaged, err)
	}
	// A layer that is right, and that somebody else refused.
	right := &store.Error{Kind: store.ErrDamaged, Op: "extracting layer", Digest: digest.FromBytes(now), Err: errors.New("refused")}
	f, whole = opened(t, writeDelta(t, source(t, now), deltaOf(t, old, now), digest.FromBytes(old)))
	src, err = base.Complete(t.Context(), whole, f.Inventory().Base, []*base.Place{open(t, write(t, source(t, old), nil))}, base.Options{})
	must(t, err)
	var blamed *base.DamagedError
	if err := src.Blame(t.Context(), right); errors.As(err, &blamed) || !errors.Is(err, right) {
		t.Errorf("a layer that is right: %v", err)
	}
}

// tables counts the file tables that are opened.
type tables struct {
	store.Source
	opened int
}

// OpenTable implements store.Source.
func (s *tables) OpenTable(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	s.opened++
	return s.Source.OpenTable(ctx, d)
}

// TestDeltaBlamesLater holds that the reader of a layer which is wrong opens no table: who reads
// layer and table side by side holds memory that the table would wait for, without end.
func TestDeltaBlamesLater(t *testing.T) {
	t.Parallel()
	old, now := tars(t)
	other := bytes.Replace(now, []byte("one more"), []byte("two more"), 1)
	f, whole := opened(t, writeDelta(t, source(t, now), deltaOf(t, old, other), digest.FromBytes(old)))
	counted := &tables{Source: whole}
	src, err := base.Complete(t.Context(), counted, f.Inventory().Base, []*base.Place{open(t, write(t, source(t, old), nil))}, base.Options{})
	must(t, err)
	r, err := src.OpenLayerUnverified(t.Context(), digest.FromBytes(now))
	must(t, err)
	if _, err = io.Copy(io.Discard, r); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("another layer: %v", err)
	}
	if counted.opened > 0 {
		t.Errorf("%d tables were opened", counted.opened)
	}
	must(t, r.Close())
	if damaged, err := src.Verify(t.Context(), 1, nil); err != nil || len(damaged) != 1 || counted.opened == 0 {
		t.Errorf("verify: %v, %v, %d tables were opened", damaged, err, counted.opened)
	}
}
