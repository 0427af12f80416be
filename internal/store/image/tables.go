package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/nodeseal/nodeseal/bundle/filetable"
	"github.com/nodeseal/nodeseal/internal/erofs"
	"github.com/nodeseal/nodeseal/internal/store/blob"
	"github.com/nodeseal/nodeseal/internal/store/extract"
	tartar "github.com/vbatts/tar-split/archive/tar"
)

// tabulateAll makes the file tables that the bundle does not have, because its layers
// are the registry's: they are decoded twice then.
func (im *importer) tabulateAll(ctx context.Context) error {
	var todo []*job
	for _, j := range im.work {
		if j.layers[0].Table == "" {
			todo = append(todo, j)
		}
	}
	if len(todo) == 0 {
		return nil
	}
	im.beginBlobs(todo)
	return im.each(ctx, todo, func(ctx context.Context, w *worker, j *job) error {
		err := w.donorFirst(ctx, j, func(d *donor) error {
			j.table = im.splits.create(make([]byte, 0, chunkSize))
			table := filetable.NewWriter(j.table)
			opts := extract.Options{MaxSize: j.layers[0].DiffSize, Listing: table}
			var result *extract.Result
			var err error
			if d != nil && d.file != nil {
				t := newTree(func(*tartar.Header, *extract.Content) (erofs.Content, error) { return 0, nil })
				t.devices = true
				result, _, err = w.replay(ctx, d, j, t, opts)
			} else {
				result, err = w.scan(ctx, d, j, nowhere{}, io.Discard, opts)
			}
			if err != nil {
				return err
			}
			for _, l := range j.layers {
				l.DiffSize = result.DiffSize // no more than that is written
			}
			return errors.Join(table.Close(), j.table.close())
		})
		if err != nil {
			return layerError("reading layer", j, err)
		}
		return nil
	})
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
			return layerError("reading the file table of layer", j, err)
		}
	}
	im.result.Contents = int64(im.index.n)
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
	for {
		e, err := table.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		im.entries += entrySize + int64(len(path.Base(e.Name)))
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

// maxSize bounds the sum of all contents: EROFS ends at 16 TiB.
const maxSize = 16 << 40

// checkNeed compares the least that the image will take with what is free.
func (im *importer) checkNeed(context.Context) error {
	return im.room(im.index.bytes + im.entries)
}
