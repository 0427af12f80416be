package dir_test

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/filetable"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
	"github.com/opencontainers/go-digest"
	"go.podman.io/storage/pkg/reexec"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	// The library unpacks layers in processes of this program.
	if reexec.Init() {
		return
	}
	os.Exit(m.Run())
}

func TestTwoImportsAreTheSame(t *testing.T) {
	testenv.NeedRoot(t)
	t.Parallel()
	var trees [][]string
	for _, jobs := range []int{1, 16} {
		src := storetest.NewSource(t, bundle.Expanded)
		storetest.Images(t, src)
		target := filepath.Join(t.TempDir(), "store")
		if _, err := dir.Import(t.Context(), src, target, store.ImportOptions{Jobs: jobs}); err != nil {
			t.Fatal(err)
		}
		trees = append(trees, storetest.DescribeTree(t, target, storetest.TreeOptions{}))
	}
	if d := storetest.Diff(trees[0], trees[1]); d != "" {
		t.Errorf("two stores of one source differ:\n%s", d)
	}
}

func TestResultAndProgress(t *testing.T) {
	testenv.NeedRoot(t)
	t.Parallel()
	src := storetest.NewSource(t, bundle.Expanded)
	storetest.Images(t, src)
	done, totals := make(map[string]int64), make(map[string]int64)
	events := make(chan progress.Event, 10_000)
	target := filepath.Join(t.TempDir(), "missing", "parent", "store")
	res, err := dir.Import(t.Context(), src, target, store.ImportOptions{Progress: func(e progress.Event) { events <- e }})
	if err != nil {
		t.Fatal(err)
	}
	close(events)
	for e := range events {
		done[e.Phase] += e.N
		totals[e.Phase] += e.Total
	}
	for _, phase := range []string{"plan", "import", "check"} {
		if totals[phase] == 0 || done[phase] != totals[phase] {
			t.Errorf("phase %s: %d of %d", phase, done[phase], totals[phase])
		}
	}
	if res.Path != target || res.Images != 5 || res.References != 7 || res.Extracted != 4 || res.Linked == 0 ||
		res.Layers != res.Extracted+res.Linked || res.Files == 0 || res.Bytes != totals["import"] {
		t.Errorf("result %+v", res)
	}
	if _, err := os.Lstat(dir.PartialName(target)); !errors.Is(err, os.ErrNotExist) {
		t.Error("the partial directory is still there")
	}
	s := openStore(t, target)
	for _, ref := range s.References {
		if _, err := s.Manifest(ref.Digest); err != nil {
			t.Error(err)
		}
		if _, err := s.Config(ref.ImageID); err != nil {
			t.Error(err)
		}
	}
	if raw, err := s.RawInventory(); err != nil || string(raw) != string(src.RawInventory()) {
		t.Errorf("inventory: %v", err)
	}
	if _, err := s.Manifest(digest.FromString("nothing")); !errors.Is(err, store.ErrUnknown) {
		t.Errorf("a manifest that is not there: %v", err)
	}
	if _, err := dir.Import(t.Context(), src, target, store.ImportOptions{}); !errors.Is(err, store.ErrExists) {
		t.Errorf("a second import: %v", err)
	}
}

func TestSelection(t *testing.T) {
	testenv.NeedRoot(t)
	t.Parallel()
	src := storetest.NewSource(t, bundle.Original)
	storetest.Images(t, src)
	target := filepath.Join(t.TempDir(), "store")
	_, err := dir.Import(t.Context(), src, target, store.ImportOptions{
		Want: func(img *bundle.Image) bool { return strings.Contains(img.Ref, "twin") },
	})
	if err != nil {
		t.Fatal(err)
	}
	if s := openStore(t, target); len(s.Images) != 1 || len(s.References) != 2 || len(s.Layers) != 1 {
		t.Errorf("%d images, %d references, %d layers", len(s.Images), len(s.References), len(s.Layers))
	}
}

// damaging are sources that must be refused, by what is wrong with them.
func damaging(t *testing.T) map[string]*storetest.Source {
	layer := storetest.Tar(t, storetest.File("a", strings.Repeat("content ", 1000)), storetest.File("b", "b"))
	one := func(form bundle.LayerForm, compression string) (*storetest.Source, *bundle.Image) {
		src := storetest.NewSource(t, form)
		return src, src.Add(storetest.Image{Repository: "quay.io/a/b", Compression: compression, Layers: [][]byte{layer}})
	}
	flip := func(b []byte) []byte { b[len(b)/3] ^= 1; return b }
	cut := func(b []byte) []byte { return b[:len(b)/2] }
	cases := make(map[string]*storetest.Source)
	for form, compression := range map[bundle.LayerForm]string{bundle.Expanded: "gzip", bundle.Original: "zstd"} {
		for what, change := range map[string]func([]byte) []byte{
			"flipped": flip, "cut": cut, "longer": func(b []byte) []byte { return append(b, make([]byte, 2<<20)...) },
			"empty": func([]byte) []byte { return nil },
		} {
			src, img := one(form, compression)
			src.Corrupt(src.Inventory().LayerBlob(img.Layers[0]), change)
			cases[string(form)+" layer "+what] = src
		}
	}
	gz, img := one(bundle.Original, "gzip")
	gz.Corrupt(img.Layers[0].Digest, func(b []byte) []byte { return append(b, "behind the end"...) })
	cases["gzip with a tail"] = gz
	src, img := one(bundle.Expanded, "gzip")
	src.Corrupt(img.Digest, flip)
	cases["manifest flipped"] = src
	src, img = one(bundle.Expanded, "gzip")
	src.Corrupt(img.Config.Digest, flip)
	cases["configuration flipped"] = src
	for what, change := range map[string]func([]byte) []byte{"flipped": flip, "cut": cut} {
		src, _ := one(bundle.Expanded, "gzip")
		for _, b := range src.Inventory().Blobs {
			if b.Kind == bundle.KindFileTable {
				src.Corrupt(b.Digest, change)
			}
		}
		cases["file table "+what] = src
	}
	for what, change := range map[string]func(*bundle.Inventory){
		"diff ID":    func(inv *bundle.Inventory) { inv.Images[0].Layers[0].DiffID = digest.FromString("other") },
		"diff size":  func(inv *bundle.Inventory) { inv.Images[0].Layers[0].DiffSize += 512 },
		"small size": func(inv *bundle.Inventory) { inv.Images[0].Layers[0].DiffSize = 512 },
		"layer size": func(inv *bundle.Inventory) { inv.Images[0].Layers[0].Size++ },
		"no layers":  func(inv *bundle.Inventory) { inv.Images[0].Layers = nil },
		"config":     func(inv *bundle.Inventory) { inv.Images[0].Config.Digest = inv.Images[0].Digest },
		"name":       func(inv *bundle.Inventory) { inv.Images[0].Names = []string{"not a NAME"} },
		"ref": func(inv *bundle.Inventory) {
			inv.Images[0].Ref = "quay.io/a/b@" + digest.FromString("another").String()
		},
	} {
		src, _ := one(bundle.Expanded, "gzip")
		src.Edit(change)
		cases["inventory lies: "+what] = src
	}
	src, _ = one(bundle.Expanded, "gzip")
	src.Add(storetest.Image{Repository: "quay.io/z/z", Tags: []string{"v1"}, Labels: map[string]string{"a": "1"}})
	src.Add(storetest.Image{Repository: "quay.io/z/z", Tags: []string{"v1"}, Labels: map[string]string{"a": "2"}})
	cases["one name on two images"] = src
	return cases
}

func TestDamageIsRefused(t *testing.T) {
	testenv.NeedRoot(t)
	t.Parallel()
	for name, src := range damaging(t) {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			_, err := dir.Import(t.Context(), src, filepath.Join(parent, "store"), store.ImportOptions{})
			if !errors.Is(err, store.ErrDamaged) {
				t.Errorf("error %v, want one of damage", err)
			}
			t.Log(err)
			if left, _ := os.ReadDir(parent); len(left) > 0 {
				t.Errorf("it left %v", left)
			}
		})
	}
}

func TestTooManyLayers(t *testing.T) {
	testenv.NeedRoot(t)
	t.Parallel()
	layer := storetest.Tar(t)
	layers := make([][]byte, store.MaxDepth+1)
	for i := range layers {
		layers[i] = layer
	}
	src := storetest.NewSource(t, bundle.Expanded)
	src.Add(storetest.Image{Repository: "quay.io/a/deep", Layers: layers})
	_, err := dir.Import(t.Context(), src, filepath.Join(t.TempDir(), "store"), store.ImportOptions{})
	if !errors.Is(err, store.ErrPrecondition) {
		t.Errorf("error %v", err)
	}
}

// TestMostLayers has the most layers that overlay stacks, in the library and in
// the kernel: an image with as many is imported and mounted, one layer more and
// the kernel refuses.
func TestMostLayers(t *testing.T) {
	testenv.NeedRoot(t)
	t.Parallel()
	layers := make([][]byte, store.MaxDepth)
	for i := range layers {
		layers[i] = storetest.Tar(t)
	}
	src := storetest.NewSource(t, bundle.Expanded)
	src.Add(storetest.Image{Repository: "quay.io/a/deep", Layers: layers})
	if _, err := dir.Import(t.Context(), src, filepath.Join(t.TempDir(), "store"), store.ImportOptions{}); err != nil {
		t.Errorf("with %d layers: %v", store.MaxDepth, err)
	}
	mount := testenv.NeedTool(t, "mount")
	for n, ok := range map[int]bool{store.MaxDepth: true, store.MaxDepth + 1: false} {
		below := t.TempDir()
		names := make([]string, n)
		for i := range names {
			names[i] = strconv.Itoa(i)
			if err := os.Mkdir(filepath.Join(below, names[i]), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		point := t.TempDir()
		cmd := exec.CommandContext(t.Context(), mount, "-t", "overlay", "overlay", "-o", "lowerdir="+strings.Join(names, ":"), point)
		cmd.Dir = below
		out, err := cmd.CombinedOutput()
		if (err == nil) != ok {
			t.Errorf("%d lower directories: %v: %s", n, err, out)
		}
		if err == nil {
			if err := unix.Unmount(point, 0); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestExpandsWithoutEnd has a small gzip layer that nobody said the length of,
// and that is larger than the disk: it is counted, and refused before it is unpacked.
func TestExpandsWithoutEnd(t *testing.T) {
	testenv.NeedRoot(t)
	parent := testenv.NeedFSOfSize(t, "ext4", 32<<20)
	src := storetest.NewSource(t, bundle.Original)
	src.Add(storetest.Image{Repository: "quay.io/a/bomb", Compression: "gzip", Layers: [][]byte{
		storetest.Tar(t, storetest.File("zeros", strings.Repeat("\x00", 100<<20))),
	}})
	_, err := dir.Import(t.Context(), src, filepath.Join(parent, "store"), store.ImportOptions{})
	var need *store.NeedError
	if !errors.Is(err, store.ErrPrecondition) || !errors.As(err, &need) {
		t.Errorf("error %v", err)
	}
	if left, _ := os.ReadDir(parent); len(left) != 1 { // lost+found
		t.Errorf("it left %v", left)
	}
}

// failingSource fails or cancels in the middle of a layer.
type failingSource struct {
	*storetest.Source
	read func(n int) error
}

func (s failingSource) OpenLayerUnverified(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	r, err := s.Source.OpenLayerUnverified(ctx, d)
	return &failingReader{ReadCloser: r, fail: s.read}, err
}

type failingReader struct {
	io.ReadCloser
	n    int
	fail func(n int) error
}

func (r *failingReader) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b[:min(len(b), 1000)])
	r.n += n
	if ferr := r.fail(r.n); ferr != nil {
		return 0, ferr
	}
	return n, err
}

func TestSourceFails(t *testing.T) {
	testenv.NeedRoot(t)
	t.Parallel()
	src := storetest.NewSource(t, bundle.Expanded)
	storetest.Images(t, src)
	stick := errors.New("stick was pulled out")
	target := filepath.Join(t.TempDir(), "store")
	_, err := dir.Import(t.Context(), failingSource{src, func(n int) error {
		if n > 50_000 {
			return stick
		}
		return nil
	}}, target, store.ImportOptions{})
	var place *store.Error
	if !errors.Is(err, stick) || errors.Is(err, store.ErrDamaged) || !errors.As(err, &place) || place.Digest == "" || place.Image == "" {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = dir.Import(ctx, failingSource{src, func(n int) error {
		if n > 50_000 {
			cancel()
		}
		return nil
	}}, target, store.ImportOptions{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Lstat(target); !errors.Is(err, os.ErrNotExist) {
		t.Error("there is a store")
	}
	res, err := dir.Import(t.Context(), src, target, store.ImportOptions{})
	if err != nil || res.TakenOver+res.Extracted != 4 {
		t.Errorf("the next run: %+v, %v", res, err)
	}
}

// TestTableLiesAlone has a table with a wrong digest that no other file has: nothing
// is shared by it, and the store has what the layer has. One that two files have is
// refused.
func TestTableLiesAlone(t *testing.T) {
	testenv.NeedRoot(t)
	t.Parallel()
	for claim, refused := range map[string]bool{"nobody's": false, "content": true} {
		src := storetest.NewSource(t, bundle.Expanded)
		plain := storetest.Tar(t, storetest.File("a", "content"), storetest.File("b", "CONTENT"))
		src.Add(storetest.Image{Repository: "quay.io/a/b", Layers: [][]byte{plain}})
		entry := func(name, content string) filetable.Entry {
			return filetable.Entry{Name: name, Type: tar.TypeReg, Size: 7, SHA256: sha256.Sum256([]byte(content))}
		}
		src.Retable(digest.FromBytes(plain), entry("a", "content"), entry("b", claim))
		target := filepath.Join(t.TempDir(), "store")
		_, err := dir.Import(t.Context(), src, target, store.ImportOptions{})
		if refused {
			if !errors.Is(err, store.ErrDamaged) {
				t.Errorf("%s: error %v", claim, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		found, err := filepath.Glob(filepath.Join(target, "overlay", "*", "diff", "b"))
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		if got, err := os.ReadFile(found[0]); err != nil || string(got) != "CONTENT" {
			t.Errorf("it holds %q, %v", got, err)
		}
	}
}
