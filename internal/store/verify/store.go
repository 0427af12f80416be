package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/extract"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// Options change how a store is verified.
type Options struct {
	// Jobs is how many layers are read at once; 0 is one for each processor.
	Jobs int
	// Records leaves the contents of layers out, where something else proves them:
	// what the inventory, the manifests and the configurations make is compared.
	Records bool
	// Architecture is what the store was made for; "" is the machine's.
	Architecture string
	// Total is called once with the bytes that Read will tell of; both may be nil.
	Total func(n int64)
	Read  func(n int64)
}

// Report is what was found in a store.
type Report struct {
	// Images, Layers and Bytes count what was verified: Bytes of the layers' tars.
	Images, Layers int
	Bytes          int64
	// Originals and OriginalBytes count the layers that are kept as the registry has them.
	Originals     int
	OriginalBytes int64
	// Artifacts counts the OCI artifacts, which are not among the Images.
	Artifacts int
	// Findings are sorted by path. None means that the store is whole. Of more than 10,000
	// the last ones are one that counts them.
	Findings []Finding
	// Hurt are the names of images that a finding touches, sorted.
	Hurt []string
	// Lost are the layers that their files do not prove, sorted, each with the reason: their
	// files have the checksums of the tar-split, which finds damage and not intent.
	Lost []Finding
}

// checker verifies one store.
type checker struct {
	dir  string
	opts Options
	plan *store.Plan // nil where it cannot be made
	// empty says that nothing was imported: the store has no inventory.
	empty bool
	// keeping are the references of images, by layer that is kept as the registry has it.
	keeping map[digest.Digest][]string
	layers  []storedLayer
	report  Report
	more    int // findings besides
	mu      sync.Mutex
	hurt    map[string]bool
	facts   map[digest.Digest]store.Facts
	roots   map[string]*extract.Root
	bad     map[string]bool // layers by ID
}

// storedLayer is a layer to verify.
type storedLayer struct {
	id, parent string
	diffID     digest.Digest
	size       int64
}

// Store verifies the store in the directory dir: every file in it. A directory
// that is no store gives an error that wraps fs.ErrNotExist; reading needs root.
// Where the inventory is missing, layers are verified by the records. Damage is no error but a Finding. The store is not changed, and may be
// in use and sealed.
func Store(ctx context.Context, dir string, opts Options) (*Report, error) {
	if opts.Jobs <= 0 {
		opts.Jobs = runtime.GOMAXPROCS(0)
	}
	if opts.Architecture == "" {
		opts.Architecture = runtime.GOARCH
	}
	c := &checker{
		dir: dir, opts: opts, hurt: make(map[string]bool),
		facts: make(map[digest.Digest]store.Facts), roots: make(map[string]*extract.Root), bad: make(map[string]bool),
	}
	if err := c.metadata(ctx); err != nil {
		return nil, err
	}
	if opts.Records {
		c.report.Layers = len(c.layers)
		c.originalsThere()
	} else if err := c.contents(ctx); err != nil {
		return nil, err
	}
	if c.plan != nil {
		if err := c.files(); err != nil {
			return nil, err
		}
		c.hurtByLayer()
	}
	if c.more > 0 {
		c.report.Findings = append(c.report.Findings, Finding{Path: store.OverlayDir, Err: fmt.Errorf("%d places more are not what they must be", c.more)})
	}
	slices.SortStableFunc(c.report.Findings, func(a, b Finding) int { return strings.Compare(a.Path, b.Path) })
	slices.SortFunc(c.report.Lost, func(a, b Finding) int { return strings.Compare(a.Path, b.Path) })
	for name := range c.hurt {
		c.report.Hurt = append(c.report.Hurt, name)
	}
	slices.Sort(c.report.Hurt)
	return &c.report, nil
}

func (c *checker) finding(path string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.report.Findings) == maxFindings {
		c.more++
		return
	}
	c.report.Findings = append(c.report.Findings, Finding{Path: path, Err: err})
}

// metadata reads what the store must hold from its inventory, its manifests and
// its configurations, and from its records where those are damaged.
func (c *checker) metadata(ctx context.Context) error {
	fsys := store.Files(c.dir)
	if _, err := fs.Stat(fsys, store.OverlayDir); err != nil {
		return fmt.Errorf("verifying %s: %w", c.dir, err)
	}
	stored, err := store.OpenStored(fsys)
	switch {
	case errors.Is(err, store.ErrDamaged):
		c.finding(store.OwnDir+"/inventory.json", err)
	case errors.Is(err, fs.ErrNotExist):
		c.noInventory(fsys, err)
	case err != nil:
		return fmt.Errorf("verifying %s: %w", c.dir, err)
	default:
		if err := c.makePlan(ctx, stored); err != nil {
			return err
		}
	}
	if c.plan != nil {
		for _, l := range c.plan.Layers {
			sl := storedLayer{id: l.ID, diffID: l.DiffID, size: l.DiffSize}
			if l.Parent != nil {
				sl.parent = l.Parent.ID
			}
			c.layers = append(c.layers, sl)
		}
		c.report.Images, c.report.Artifacts = len(c.plan.Images), len(c.plan.Artifacts)
		return nil
	}
	st, err := store.Open(fsys)
	if err != nil {
		c.finding(store.LayersDir, err)
		return nil
	}
	for _, l := range st.Layers {
		c.layers = append(c.layers, storedLayer{id: l.ID, parent: l.Parent, diffID: l.UncompressedDigest, size: l.UncompressedSize})
	}
	c.report.Images = len(st.Images)
	return nil
}

// noInventory decides about a store without an inventory: an empty one has none.
func (c *checker) noInventory(fsys fs.FS, cause error) {
	st, err := store.Open(fsys)
	if err == nil && st.Empty() {
		c.plan, c.empty = new(store.Plan), true
		return
	}
	c.finding(store.OwnDir+"/inventory.json", fmt.Errorf("it is missing, or nodeseal did not make the store: %w", cause))
}

// makePlan verifies every manifest, list, configuration and attachment, and
// plans the store where all are whole.
func (c *checker) makePlan(ctx context.Context, stored *store.Stored) error {
	sel := store.Selection{Architecture: c.opts.Architecture}
	images, err := stored.Images(sel)
	if err != nil {
		return fmt.Errorf("verifying %s: %w", c.dir, err)
	}
	whole := true
	for _, img := range images {
		for _, d := range smallBlobs(img) {
			_, err := stored.ReadBlob(ctx, d)
			if err == nil {
				continue
			}
			if !errors.Is(err, store.ErrDamaged) {
				return fmt.Errorf("verifying %s: %w", c.dir, err)
			}
			whole = false
			c.hurt[img.Ref] = true
			c.finding(stored.Path(d), err)
		}
	}
	if !whole {
		return nil
	}
	plan, err := store.NewPlan(ctx, stored, sel)
	switch {
	case err == nil:
		c.plan, c.keeping = plan, keeping(images)
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, store.ErrDamaged):
		c.finding(store.OwnDir+"/inventory.json", err)
		return nil
	}
	return fmt.Errorf("verifying %s: %w", c.dir, err)
}

// smallBlobs are the digests of all that is kept of an image beside its layers.
func smallBlobs(img *bundle.Image) []digest.Digest {
	out := []digest.Digest{img.Digest, img.Config.Digest}
	if img.Index != "" {
		out = append(out, img.Index)
	}
	for _, a := range img.Attachments {
		out = append(append(out, a.Digest), a.Blobs...)
	}
	return out
}

// contents verifies all layers.
func (c *checker) contents(ctx context.Context) error {
	if c.opts.Total != nil {
		var total int64
		for _, l := range c.layers {
			total += l.size
		}
		for _, o := range c.originals() {
			total += o.Size
		}
		c.opts.Total(total)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(c.opts.Jobs)
	for _, l := range c.layers {
		g.Go(func() error { return c.layer(gctx, l) })
	}
	for _, o := range c.originals() {
		g.Go(func() error { return c.original(gctx, o) })
	}
	if err := g.Wait(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("verifying %s: %w", c.dir, err)
	}
	return nil
}

// layer verifies one layer.
func (c *checker) layer(ctx context.Context, l storedLayer) error {
	diffDir := store.DiffDir(l.id)
	bad := func(where string, err error) error {
		c.finding(where, err)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.bad[l.id] = true
		return nil
	}
	diff, err := os.Open(filepath.Join(c.dir, diffDir))
	if err != nil {
		return bad(diffDir, err)
	}
	defer diff.Close()
	split, err := safefile.Open(filepath.Join(c.dir, store.TarSplitFile(l.id)))
	if err != nil {
		return bad(store.TarSplitFile(l.id), err)
	}
	defer split.Close()
	result, found, err := Layer(ctx, diff, split, l.diffID, LayerOptions{Read: c.opts.Read, Size: l.size})
	if err != nil {
		return fmt.Errorf("layer %s: %w", l.diffID, err)
	}
	for _, f := range found {
		_ = bad(path.Join(diffDir, f.Path), f.Err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Layers++
	c.report.Bytes += result.DiffSize
	if result.Lost != "" {
		c.report.Lost = append(c.report.Lost, Finding{Path: diffDir, Err: errors.New(result.Lost)})
	}
	if len(found) == 0 && result.Lost == "" {
		c.facts[l.diffID] = store.Facts{DiffSize: result.DiffSize, UIDs: result.UIDs, GIDs: result.GIDs}
	}
	c.roots[l.id] = result.Root
	return nil
}

// hurtByLayer names the images of damaged layers.
func (c *checker) hurtByLayer() {
	for _, img := range c.plan.Images {
		for l := img.TopLayer; l != nil; l = l.Parent {
			if c.bad[l.ID] {
				for _, name := range img.Names {
					c.hurt[name] = true
				}
			}
		}
	}
}
