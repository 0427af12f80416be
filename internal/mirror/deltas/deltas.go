// Package deltas holds new layers as what differs from the files of an earlier release's layers:
// it reads what the earlier release has, and writes the deltas that are shorter than the layers.
package deltas

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	format "github.com/nodeseal/nodeseal/bundle/delta"
	"github.com/nodeseal/nodeseal/internal/budget"
	"github.com/nodeseal/nodeseal/internal/delta"
)

// Memory is what the files that are compared take together, in bytes. The index of old files
// comes to that: delta.MaxOlds of them.
const Memory = 512 << 20

// Old gives the contents of an earlier release's layers. *base.Place is one. Its methods are called
// at the same time.
type Old interface {
	// HasOld reports whether new layers can be told by the files of the layer.
	HasOld(ctx context.Context, layer digest.Digest) bool
	// OpenOld opens its plain tar, not verified. The caller closes it.
	OpenOld(ctx context.Context, layer digest.Digest) (io.ReadCloser, error)
	// OldFiles opens files of layers, not verified, for one goroutine. Those of a bundle are
	// decoded into spool.
	OldFiles(ctx context.Context, spool *archive.Spool) format.Old
}

// Layer is a new layer.
type Layer struct {
	DiffID digest.Digest
	// Size is that of the plain tar, Held what it takes in the bundle, in bytes.
	Size, Held int64
	// By are the older layers that it may be told by, whose files a node that takes it has for
	// sure. What the first ones have is preferred.
	By []digest.Digest
	// Open opens the plain tar, which is proven. The caller closes it.
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// Made is the delta of a layer.
type Made struct {
	Layer, Delta digest.Digest
	Size         int64 // of the delta
	From         []digest.Digest
	Path         string
}

// Options are the options of Make.
type Options struct {
	// Earlier is what old was opened as, for errors.
	Earlier string
	// Dir is an empty directory for the deltas, which stay there.
	Dir string
	// Jobs is how many layers are worked on at once; 0 is the number of processors. The memory
	// bounds them, too.
	Jobs int
	// Begin is told how many bytes will be read, Read those that were. Both may be nil.
	Begin, Read func(n int64)
	// Whole is told why a layer is held whole; it may be nil.
	Whole func(layer digest.Digest, reason error)
}

// EarlierError says that the earlier release cannot be read, or is not what it must be: then it
// wraps bundle.ErrDamaged.
type EarlierError struct {
	// Path is Options.Earlier.
	Path string
	Err  error
}

// Error implements error.
func (e *EarlierError) Error() string {
	return fmt.Sprintf("the earlier release %s: %v", e.Path, e.Err)
}

// Unwrap returns the cause.
func (e *EarlierError) Unwrap() error { return e.Err }

// Make tells the layers by older ones that old has. It returns those that are shorter than what
// they take in the bundle, in the order of layers; each was read again, and makes its layer. The
// same layers and the same old ones give the same deltas. Errors of old are *EarlierError.
func Make(ctx context.Context, old Old, layers []Layer, o Options) ([]Made, error) {
	m := &maker{Options: o, old: old, memory: budget.New(Memory), spool: archive.NewSpool(o.Dir)}
	defer func() { _ = m.spool.Close() }() // its file has no name
	if m.Jobs <= 0 {
		m.Jobs = runtime.GOMAXPROCS(0)
	}
	olds := older(ctx, old, layers)
	if len(olds) == 0 {
		return nil, nil
	}
	if m.Begin != nil {
		var total int64
		for _, l := range layers {
			total += l.Size
		}
		m.Begin(total)
	}
	if err := m.index(ctx, olds); err != nil {
		return nil, err
	}
	found := make([]*Made, len(layers))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(m.Jobs)
	for i := range layers {
		group.Go(func() (err error) {
			found[i], err = m.layer(gctx, &layers[i])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var out []Made
	for _, f := range found {
		if f != nil {
			out = append(out, *f)
		}
	}
	return out, nil
}

// older are the layers that any of layers may be told by and that old has, each once.
func older(ctx context.Context, old Old, layers []Layer) []digest.Digest {
	seen := make(map[digest.Digest]bool)
	var out []digest.Digest
	for i := range layers {
		for _, d := range layers[i].By {
			if !seen[d] && old.HasOld(ctx, d) {
				out = append(out, d)
			}
			seen[d] = true
		}
	}
	return out
}

type maker struct {
	Options
	old    Old
	olds   delta.Olds
	memory *budget.Budget
	spool  *archive.Spool
}

// index reads the old layers, as many as fit, some at a time: what was read waits for those before it.
// In which order they come does not depend on who is first.
func (m *maker) index(ctx context.Context, olds []digest.Digest) error {
	for len(olds) > 0 && m.olds.Room() > 0 {
		n := min(len(olds), m.Jobs)
		if err := m.indexSome(ctx, olds[:n]); err != nil {
			return err
		}
		olds = olds[n:]
	}
	return nil
}

func (m *maker) indexSome(ctx context.Context, olds []digest.Digest) error {
	files := make([][]delta.OldFile, len(olds))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(m.Jobs)
	for i, d := range olds {
		group.Go(func() (err error) {
			files[i], err = m.scan(gctx, d)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, d := range olds {
		m.olds.Add(d, files[i])
		files[i] = nil
	}
	return nil
}

// scan reads one old layer and proves it.
func (m *maker) scan(ctx context.Context, layer digest.Digest) (files []delta.OldFile, err error) {
	r, err := m.old.OpenOld(ctx, layer)
	if err != nil {
		return nil, m.earlier(ctx, fmt.Errorf("reading layer %s: %w", layer, err))
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	sum := sha256.New()
	in := io.TeeReader(r, sum)
	files, serr := delta.Scan(layer, in, m.olds.Room())
	if _, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{in}, make([]byte, 256<<10)); err != nil {
		return nil, m.earlier(ctx, fmt.Errorf("reading layer %s: %w", layer, err))
	}
	if is := digest.NewDigest(digest.SHA256, sum); is != layer {
		return nil, m.earlier(ctx, fmt.Errorf("%w: layer %s is %s", bundle.ErrDamaged, layer, is))
	}
	if serr != nil {
		return nil, nil // it is what it must be, and no tar that can be read here
	}
	return files, nil
}

// earlier says of an error that the earlier release is at fault, unless the work was to end.
func (m *maker) earlier(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	return &EarlierError{Path: m.Earlier, Err: err}
}

// layer makes the delta of one layer, nil where that is held whole.
func (m *maker) layer(ctx context.Context, l *Layer) (*Made, error) {
	made, err := m.make(ctx, l)
	if m.Read != nil && err == nil {
		m.Read(l.Size)
	}
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, delta.ErrWhole) || errors.Is(err, errLonger):
		if m.Whole != nil {
			m.Whole(l.DiffID, err)
		}
		if m.Read != nil {
			m.Read(l.Size)
		}
		return nil, nil
	case errors.Is(err, format.ErrOld) && !errors.Is(err, archive.ErrSpool):
		return nil, m.earlier(ctx, fmt.Errorf("%w: %w", bundle.ErrDamaged, err))
	case err != nil:
		return nil, fmt.Errorf("the delta of layer %s: %w", l.DiffID, err)
	}
	return made, nil
}

// errLonger says that a delta would take what the layer takes.
var errLonger = errors.New("its delta is not shorter")

// errNothing says that no old file is like one of the layer's.
var errNothing = fmt.Errorf("nothing of it is in an earlier layer: %w", delta.ErrWhole)

// errUnsure says that there is nothing by which a layer may be told.
var errUnsure = fmt.Errorf("no earlier layer is where it is for sure: %w", delta.ErrWhole)

func (m *maker) make(ctx context.Context, l *Layer) (_ *Made, err error) {
	if len(l.By) == 0 {
		return nil, errUnsure
	}
	p, err := m.plan(ctx, l)
	switch {
	case err != nil:
		return nil, err
	case len(p.From) == 0:
		return nil, errNothing
	case len(p.From) > format.MaxLayers:
		return nil, fmt.Errorf("it would take %d layers: %w", len(p.From), delta.ErrWhole)
	}
	giveBack, err := m.memory.Take(ctx, p.Memory)
	if err != nil {
		return nil, context.Cause(ctx)
	}
	defer giveBack()
	path := filepath.Join(m.Dir, l.DiffID.Encoded())
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			_ = os.Remove(path) // the first error says more
		}
	}()
	w, err := m.write(ctx, f, p, l)
	if err != nil {
		return nil, err
	}
	if err := m.prove(ctx, f, l); err != nil {
		return nil, err
	}
	return &Made{Layer: l.DiffID, Delta: digest.NewDigest(digest.SHA256, w.sum), Size: w.n, From: p.From, Path: path}, nil
}

func (m *maker) plan(ctx context.Context, l *Layer) (*delta.Plan, error) {
	r, err := l.Open(ctx)
	if err != nil {
		return nil, err
	}
	p, err := m.olds.Plan(ctx, r, l.By)
	return p, errors.Join(err, r.Close())
}
