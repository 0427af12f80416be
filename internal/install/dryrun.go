package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/dryrun"
	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/image"
)

// Plan says what Run would do, and changes nothing: where the store would go, what it
// would hold, how much of it is in other stores, and whether there is room. Errors are
// those that Run finds before it writes; but layers whose size nothing says are counted
// by Run alone, and here as what their blobs have.
func Plan(ctx context.Context, s *Source, t Target, o Options) (*dryrun.Plan, error) {
	p := &planner{source: s, opts: o, out: new(dryrun.Plan)}
	var err error
	switch {
	case t.Root != nil:
		err = p.slot(ctx, t.Root)
	case t.File != "":
		err = p.single(ctx, t.File, true)
	default:
		err = p.store(ctx, t.Dir)
	}
	if err != nil {
		return nil, s.failed(err)
	}
	return p.out, nil
}

// PlanRepair says what Repair would do, and changes nothing.
func PlanRepair(ctx context.Context, s *Source, path string, o Options) (*dryrun.Plan, error) {
	p := &planner{source: s, opts: o, out: new(dryrun.Plan)}
	_, asImage := form.FileOf(path)
	stores := []string{path}
	if root, name, ok := slot.Find(path, slot.Options{}); ok {
		stores = append(stores, root.Path(name.Other()))
	}
	if err := p.bundle(ctx, "rebuild", path, path, asImage, stores, nil); err != nil {
		return nil, s.failed(err)
	}
	return p.out, nil
}

// PlanClean says what a clean of the slots and after imports to the stores would remove.
func PlanClean(root *slot.Root, stores []string) (*dryrun.Plan, error) {
	out, err := root.PlanClean()
	if err != nil {
		return nil, err
	}
	for _, s := range stores {
		if err := slot.PlanCleanStore(s, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

type planner struct {
	source *Source
	opts   Options
	out    *dryrun.Plan
}

// slot plans for the free slot.
func (p *planner) slot(ctx context.Context, root *slot.Root) error {
	holds := func(s *slot.Slot) bool {
		if p.source.digest != "" {
			d, err := image.ReadDigest(s.Image)
			return s.Image != "" && err == nil && d == p.source.digest
		}
		return s.ID == digest.FromBytes(p.source.src.RawInventory())
	}
	n, already, err := root.Target(p.opts.Progress, holds)
	if err != nil {
		return err
	}
	if already {
		p.out.Note(fmt.Sprintf("slot %s holds it already (%s)", n, root.Path(n)))
		return nil
	}
	left, err := root.PlanClean()
	if err != nil {
		return err
	}
	if len(left.Steps) > 0 {
		p.out.Note("what an interrupted import has left is resumed or removed: nodeseal clean --dry-run lists it")
	}
	what := fmt.Sprintf("slot %s (%s)", n, root.Path(n))
	if p.source.digest != "" {
		return p.copied(what, root.Dir())
	}
	asImage, err := p.asImage(ctx, root.Dir(), root.Path(slot.A), root.Path(slot.B))
	if err != nil {
		return err
	}
	var reuse []string
	if p.opts.FromOtherSlot {
		reuse = append(reuse, root.Path(n.Other()))
	}
	if err := p.bundle(ctx, "fill", what, root.Dir(), asImage, p.source.opts.Stores, reuse); err != nil {
		return err
	}
	p.sealing(root.Path(n))
	return nil
}

// copied plans the copy of an image file.
func (p *planner) copied(what, at string) error {
	info, err := os.Stat(p.source.path)
	if err != nil {
		return err
	}
	p.out.Add("copy the image into", what, info.Size())
	return room(at, store.Need{Bytes: info.Size()}, p.opts.MaxUsage)
}

// store plans for a single store in a directory.
func (p *planner) store(ctx context.Context, path string) error {
	already, err := dir.Present(ctx, p.source.src, path)
	if err != nil {
		return err
	}
	if already {
		p.out.Note(path + " holds it already")
		return nil
	}
	f := p.opts.Form
	if _, ok := form.FileOf(path); ok && f == form.Auto {
		f = form.Same
	}
	p.opts.Form = f
	asImage, err := p.asImage(ctx, filepath.Dir(filepath.Clean(path)), path)
	if err != nil {
		return err
	}
	if err := p.single(ctx, path, asImage); err != nil {
		return err
	}
	p.sealing(path)
	return nil
}

// single plans a store that is no slot, to which kubelet's threshold does not apply.
func (p *planner) single(ctx context.Context, path string, asImage bool) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%w: %s", store.ErrExists, path)
	}
	p.opts.MaxUsage = 0
	return p.bundle(ctx, "make", path, path, asImage, p.source.opts.Stores, nil)
}

// asImage reports whether the store would be an image. With form.Auto that takes a
// trial mount, which is left to the import.
func (p *planner) asImage(ctx context.Context, at string, stores ...string) (bool, error) {
	if p.opts.Form == form.Auto {
		p.out.Note("the import finds out whether the kernel can mount an image, and else makes a directory")
		return false, nil
	}
	return p.opts.Form.AsImage(ctx, at, stores...)
}

// bundle plans a store of the bundle's images. Layers that the stores in reuse have
// are taken from there.
func (p *planner) bundle(ctx context.Context, do, what, at string, asImage bool, stores, reuse []string) error {
	w, err := p.source.complete(ctx, stores, asImage, "")
	if err != nil {
		return err
	}
	defer w.Close()
	plan, err := store.NewPlan(ctx, w.Source, store.Selection{Architecture: runtime.GOARCH})
	if err != nil {
		return w.Blame(ctx, err)
	}
	have := held(append(reuse, w.Stores()...))
	var need, taken int64
	contents, elsewhere := plan.Contents(), 0
	for _, layers := range contents {
		l := layers[0]
		size := max(l.DiffSize, l.BlobSize)
		if have[l.DiffID] {
			elsewhere++
			taken += size
			continue
		}
		need += size
	}
	stores = append(reuse, w.Stores()...)
	for _, o := range plan.Originals {
		if keeps(stores, o.Digest) {
			taken += o.Size
		} else {
			need += o.Size
		}
	}
	as := "a directory"
	if asImage {
		as = "an image"
	}
	p.out.Add(do, fmt.Sprintf("%s as %s: %d images under %d references, %d layers", what, as, len(plan.Images), len(plan.References), len(plan.Layers)), need)
	if elsewhere > 0 {
		p.out.Note(fmt.Sprintf("%d of the %d different layers are in other stores here; they are taken from there and verified", elsewhere, len(contents)))
	}
	if n := len(plan.Originals); n > 0 {
		p.out.Note(fmt.Sprintf("%d layers are kept as a registry has them, besides", n))
	}
	if n := len(plan.Artifacts); n > 0 {
		p.out.Note(fmt.Sprintf("%d OCI artifacts become a store of artifacts in it", n))
	}
	for _, name := range plan.UnreadableArtifacts() {
		p.out.Note(name + ": CRI-O reads no OCI artifact of this name, only nodeseal serve answers it")
	}
	if asImage {
		need += taken // shared only if the file system can
	}
	if n := w.Beside(); n > 0 {
		p.out.Note(fmt.Sprintf("a work file of at most %d MiB holds files of older layers while it runs", n>>20+1))
		need += n
	}
	return room(at, store.Need{Bytes: need}, p.opts.MaxUsage)
}

// sealing adds the seal.
func (p *planner) sealing(path string) {
	switch {
	case p.opts.NoSeal:
	case p.opts.NoMount:
		p.out.Add("make immutable", path, 0)
	default:
		p.out.Add("make immutable and mount read-only", path, 0)
	}
}

// held are the diff IDs of the layers in stores. What cannot be read has none.
func held(stores []string) map[digest.Digest]bool {
	have := make(map[digest.Digest]bool)
	for _, path := range stores {
		s, err := store.Open(store.Files(path))
		if err != nil {
			continue
		}
		for _, l := range s.Layers {
			have[l.UncompressedDigest] = true
		}
	}
	return have
}

// keeps reports whether one of the stores keeps the layer d as a registry has it.
func keeps(stores []string, d digest.Digest) bool {
	for _, path := range stores {
		s, err := store.Open(store.Files(path))
		if err != nil {
			continue
		}
		if f, err := s.OpenOriginal(d); err == nil {
			f.Close()
			return true
		}
	}
	return false
}

// room compares what a store will take with the file system of path, or of the next
// directory above that is there.
func room(path string, need store.Need, maxUsage int) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	f, err := os.Open(abs)
	for errors.Is(err, fs.ErrNotExist) && abs != filepath.Dir(abs) {
		abs = filepath.Dir(abs)
		f, err = os.Open(abs)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return store.Room(int(f.Fd()), path, need, maxUsage)
}
