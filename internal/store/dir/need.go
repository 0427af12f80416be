package dir

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/nodeseal/nodeseal/bundle/filetable"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/blob"
	"golang.org/x/sync/errgroup"
)

// blockSize is what a file takes at least, on the file systems of nodes.
const blockSize = 4096

// checkNeed compares what the contents will take with what is free. With file
// tables that is known to the file; without, only the least that it can be.
func (im *importer) checkNeed(ctx context.Context) error {
	var bytes, inodes atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(im.opts.Jobs)
	for _, j := range im.work {
		g.Go(func() error {
			b, n, err := im.needOf(ctx, j)
			bytes.Add(b)
			inodes.Add(n)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	im.repeats.end()
	need := store.Need{Bytes: bytes.Load(), Inodes: inodes.Load()}
	return store.Room(int(im.partial.lock.Fd()), im.target, need, im.opts.MaxUsage)
}

// needOf returns what one content will take: of what is finished nothing but
// the directories of layers that share it.
func (im *importer) needOf(ctx context.Context, j *job) (bytes, inodes int64, err error) {
	l := j.layers[0]
	fixed := int64(len(j.layers)) * 8 // folders, links and metadata of a layer
	if l.Table == "" {
		if j.done != nil {
			return 0, fixed, nil
		}
		return max(l.DiffSize, j.size), fixed, nil
	}
	fail := func(err error) error {
		return &store.Error{Kind: blob.Kind(err), Op: "reading the file table of layer", Image: l.Image, Digest: l.DiffID, Err: err}
	}
	r, err := im.src.OpenTable(ctx, l.Table)
	if err != nil {
		return 0, 0, fail(err)
	}
	defer r.Close()
	table := filetable.NewReader(r)
	var files, dirs int64
	var contents []uint64
	for {
		e, err := table.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, 0, fail(err)
		}
		switch e.Type {
		case tar.TypeReg:
			files++
			contents = append(contents, shortened(e.SHA256))
			if bytes += (e.Size + blockSize - 1) / blockSize * blockSize; bytes < 0 {
				return 0, 0, fail(fmt.Errorf("%w: sizes without end", blob.ErrClaim))
			}
		case tar.TypeDir:
			dirs++
		case tar.TypeLink:
		default:
			files++
		}
	}
	im.repeats.add(contents)
	if j.done != nil {
		files, bytes, dirs = 0, 0, 0
	}
	return bytes + int64(len(j.layers))*dirs*blockSize, files + int64(len(j.layers))*dirs + fixed, nil
}
