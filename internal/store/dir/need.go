package dir

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/filetable"
	"github.com/nodeseal/nodeseal/bundle/layerrules"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/blob"
	"github.com/nodeseal/nodeseal/internal/store/build"
	tarsplit "github.com/vbatts/tar-split/archive/tar"
	"golang.org/x/sync/errgroup"
)

// blockSize is what a file takes at least, on the file systems of nodes.
const blockSize = 4096

// need returns what the contents will take. A file table says that to the file. A layer
// without one is read, decompressed and counted first: what was counted is then the most
// that is unpacked of it.
func (im *importer) need(ctx context.Context) (store.Need, error) {
	var total atomicNeed
	var counted int64
	for _, j := range im.jobs {
		if counts(j) {
			counted += j.Size
		}
	}
	if counted > 0 {
		im.opts.Progress.Begin(phaseCount, counted, progress.Bytes)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(im.opts.Jobs)
	for _, j := range im.jobs {
		g.Go(func() error { return im.needOf(gctx, j, &total) })
	}
	if err := g.Wait(); err != nil {
		return store.Need{}, err
	}
	if counted > 0 {
		im.opts.Progress.End(phaseCount)
	}
	return total.need(), nil
}

// atomicNeed is a need that several goroutines add to.
type atomicNeed struct{ bytes, inodes atomic.Int64 }

func (n *atomicNeed) add(more store.Need) {
	n.bytes.Add(more.Bytes)
	n.inodes.Add(more.Inodes)
}

func (n *atomicNeed) need() store.Need {
	return store.Need{Bytes: n.bytes.Load(), Inodes: n.inodes.Load()}
}

// counts reports whether the layer must be read to know what it takes. The plain tar of a
// base is not: its length is known, and it lies there already.
func counts(j *build.Job) bool {
	l := j.First()
	return j.Done == nil && l.Table == "" && (l.DiffSize == 0 || l.Blob != l.DiffID)
}

// needOf adds what one content will take: of what is finished nothing but
// the directories of layers that share it.
func (im *importer) needOf(ctx context.Context, j *build.Job, total *atomicNeed) error {
	l := j.First()
	n := contentNeed{layers: int64(len(j.Layers))}
	work := layerrules.Begin(ctx)
	defer work.Done()
	n.implied.Bound(work)
	var err error
	switch {
	case counts(j):
		err = im.count(ctx, j, &n, total)
	case l.Table != "":
		err = im.readTable(ctx, j, &n)
	default:
		n.bytes = max(l.DiffSize, j.Size)
		n.content = n.bytes
	}
	if err != nil {
		return err
	}
	total.add(n.sum(l.DiffSize, j.Done != nil))
	return nil
}

// contentNeed is what the entries of one content take.
type contentNeed struct {
	layers                     int64 // that have it
	content                    int64 // bytes of files
	bytes, files, dirs, others int64 // bytes as they lie on the disk
	implied                    build.Implied
}

// add adds an entry, with the directories that its name implies.
func (n *contentNeed) add(name string, kind byte, size int64) error {
	implied, err := n.implied.Add(name, kind == tar.TypeDir || kind == tar.TypeSymlink)
	if err != nil {
		return err
	}
	n.dirs += implied
	switch kind {
	case tar.TypeReg, tar.TypeGNUSparse:
		n.files++
		if size < 0 || size > bundle.MaxBlob-n.bytes {
			return fmt.Errorf("%w: sizes without end", blob.ErrClaim)
		}
		n.content += size
		n.bytes += (size + blockSize - 1) / blockSize * blockSize
	case tar.TypeDir:
		n.dirs++
	case tar.TypeLink:
		n.others++
	default:
		n.files++
	}
	return nil
}

// sum returns what the content takes; its plain tar has diffSize bytes, 0 if that is not known.
func (n *contentNeed) sum(diffSize int64, done bool) store.Need {
	fixed := n.layers * 8 // folders, links and metadata of a layer
	dirs := n.layers * n.dirs
	need := store.Need{Bytes: dirs * blockSize, Inodes: dirs + fixed}
	if done {
		return store.Need{Inodes: fixed}
	}
	need.Bytes += n.bytes
	need.Inodes += n.files
	// The tar-split keeps what is not content. Headers shrink to little of it; what is longer
	// than headers are may not.
	if extra := diffSize - n.content - (n.files+n.dirs+n.others)*blockSize; extra > 0 {
		need.Bytes += extra
	}
	return need
}

// readTable adds the entries of the file table of j.
func (im *importer) readTable(ctx context.Context, j *build.Job, n *contentNeed) error {
	fail := func(err error) error { return j.Error("reading the file table of layer", err) }
	r, err := im.src.OpenTable(ctx, j.First().Table)
	if err != nil {
		return fail(err)
	}
	defer r.Close()
	table := filetable.NewReader(r)
	for {
		e, err := table.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = n.add(e.Name, e.Type, e.Size)
		}
		if err != nil {
			return fail(err)
		}
		if e.Type == tar.TypeReg {
			im.repeats.add(e.SHA256)
		}
	}
	return nil
}

// countEvery is after how many bytes that a layer will take the room is asked for.
const countEvery = 64 << 20

// count reads the content of j and adds its entries. It ends as soon as there cannot be
// enough room, and gives the layers of j the length that it found.
func (im *importer) count(ctx context.Context, j *build.Job, n *contentNeed, total *atomicNeed) error {
	l := j.First()
	fail := func(err error) error { return j.Error("counting layer", err) }
	raw, err := im.src.OpenLayerUnverified(ctx, l.Blob)
	if err != nil {
		return fail(fmt.Errorf("opening its blob: %w", err))
	}
	defer raw.Close()
	im.opts.Progress.WorkingOn(phaseCount, l.DiffID.String(), l.Title)
	asked := int64(0)
	size, err := blob.Count(ctx, raw, l, func(b int64) { im.opts.Progress.Add(phaseCount, b) }, func(hdr *tarsplit.Header) error {
		if err := n.add(hdr.Name, hdr.Typeflag, hdr.Size); err != nil || n.bytes+n.dirs*blockSize < asked {
			return err
		}
		asked = n.bytes + n.dirs*blockSize + countEvery
		sofar := total.need()
		return build.Room(im.target, store.Need{Bytes: sofar.Bytes + n.bytes + n.dirs*blockSize, Inodes: sofar.Inodes + n.files + n.dirs}, im.opts.MaxUsage)
	})
	if err != nil {
		return fail(err)
	}
	if l.DiffSize != 0 && size != l.DiffSize {
		return fail(fmt.Errorf("%w: its plain tar has %d bytes, the inventory says %d", blob.ErrClaim, size, l.DiffSize))
	}
	for _, l := range j.Layers {
		l.DiffSize = size
	}
	return nil
}
