package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"

	"github.com/nodeseal/nodeseal/bundle/filetable"
	"github.com/nodeseal/nodeseal/bundle/layerrules"
	"github.com/nodeseal/nodeseal/internal/erofs"
	"github.com/nodeseal/nodeseal/internal/store/blob"
	"github.com/nodeseal/nodeseal/internal/store/build"
	"github.com/nodeseal/nodeseal/internal/store/extract"
	tartar "github.com/vbatts/tar-split/archive/tar"
)

// tabulateAll makes the file tables that the bundle does not have, because its layers
// are the registry's: they are decoded twice then.
func (im *importer) tabulateAll(ctx context.Context, jobs []*build.Job) error {
	todo := slices.DeleteFunc(slices.Clone(jobs), func(j *build.Job) bool { return j.First().Table != "" })
	if len(todo) == 0 {
		return nil
	}
	return build.Each(ctx, todo, im.opts, func() build.Worker { return tabulator{im.newWorker()} })
}

// tabulator is a worker that makes file tables.
type tabulator struct{ *worker }

// Layer implements build.Worker.
func (w tabulator) Layer(ctx context.Context, bj *build.Job) error {
	j := w.im.work[bj.Number]
	err := w.donorFirst(ctx, j, func(d *donor) error { return w.tabulate(ctx, d, j) })
	if err != nil {
		return j.Error("reading layer", err)
	}
	return nil
}

// tabulate makes the table of one content, from a donor or from the bundle: nil.
func (w tabulator) tabulate(ctx context.Context, d *donor, j *job) error {
	j.table = w.im.splits.create(make([]byte, 0, chunkSize))
	table := filetable.NewWriter(j.table)
	work := layerrules.Begin(ctx)
	defer work.Done()
	opts := extract.Options{MaxSize: j.First().DiffSize, Listing: table, Work: work}
	var result *extract.Result
	var err error
	if d != nil && d.file != nil {
		t := newTree(w.im.trees, func(*tartar.Header, *extract.Content) (erofs.Content, error) { return 0, nil })
		defer t.free()
		t.devices = true
		opts.Keeps = nodeMemory
		result, _, err = w.replay(ctx, d, j, t, opts)
	} else {
		result, err = w.scan(ctx, d, j, nowhere{}, io.Discard, opts)
	}
	if err != nil {
		return err
	}
	for _, l := range j.Layers {
		l.DiffSize = result.DiffSize // no more than that is written
	}
	return errors.Join(table.Close(), j.table.close())
}

// nowhere is an extract.Tree that keeps nothing.
type nowhere struct{}

func (nowhere) Create(*tartar.Header, string, *extract.Content) error { return nil }
func (nowhere) Whiteout(*tartar.Header, string, string) error         { return nil }
func (nowhere) Opaque(string) error                                   { return nil }
func (nowhere) Root(*tartar.Header) error                             { return nil }
func (nowhere) End() error                                            { return nil }

// makePlaces counts the files of each content and gives each its place, in the order
// of the plan.
func (im *importer) makePlaces(ctx context.Context) error {
	for _, j := range im.work {
		if err := im.readTable(ctx, j); err != nil {
			return j.Error("reading the file table of layer", err)
		}
	}
	im.facts.Contents = int64(im.index.n)
	var err error
	im.build, err = erofs.New(im.out.image, erofs.Options{
		Spool: im.out.spool, Tables: im.space,
		UUID: erofs.UUIDOf([]byte(im.inventoryDigest())),
		// The time of everything that is not the images' own is the epoch.
		Volume: "nodeseal",
		Root:   erofs.Attr{Mode: 0o700},
	})
	if err == nil {
		err = im.index.reserve(im.build)
	}
	if err == nil {
		err = im.placeOriginals()
	}
	if err == nil {
		err = im.makeSkeleton()
	}
	if err != nil {
		return fmt.Errorf("planning the image: %w", err)
	}
	return nil
}

func (im *importer) readTable(ctx context.Context, j *job) error {
	table, closeTable, err := im.openTable(ctx, j)
	if err != nil {
		return err
	}
	defer closeTable()
	var implied build.Implied
	for {
		e, err := table.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		im.entries += entrySize + int64(len(path.Base(e.Name)))
		n, err := implied.Add(e.Name, e.Type == tar.TypeDir || e.Type == tar.TypeSymlink)
		if err != nil {
			return err
		}
		if n > 0 {
			im.entries += n*(entrySize+ownEntries) + int64(len(e.Name))
		}
		if e.Type != tar.TypeReg || e.Size == 0 {
			continue
		}
		if e.Size > maxSize-im.index.bytes {
			return fmt.Errorf("%w: sizes without end", blob.ErrClaim)
		}
		if err := im.index.add(e.SHA256, e.Size); err != nil {
			return err
		}
	}
}

// entrySize is about what the image takes for an entry without its content and its name: an
// inode and a directory's entry.
const entrySize = 64 + 12

// ownEntries is what a directory takes for itself and the one above it.
const ownEntries = 2*12 + 3

// maxSize bounds the sum of all contents: EROFS ends at 16 TiB.
const maxSize = 16 << 40
