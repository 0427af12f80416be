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
	"golang.org/x/sys/unix"
)

// blockSize is what a file takes at least, on the file systems of nodes.
const blockSize = 4096

// NeedError reports too little room on the store's file system. It wraps
// store.ErrPrecondition.
type NeedError struct {
	Path string
	// Bytes and Inodes are needed, FreeBytes and FreeInodes are there. Inodes
	// are 0 where they do not count.
	Bytes, FreeBytes, Inodes, FreeInodes int64
}

// Error implements error.
func (e *NeedError) Error() string {
	if e.Bytes > e.FreeBytes {
		return fmt.Sprintf("%s: the store needs %d MiB, %d MiB are free", e.Path, e.Bytes>>20, e.FreeBytes>>20)
	}
	return fmt.Sprintf("%s: the store needs %d inodes, %d are free", e.Path, e.Inodes, e.FreeInodes)
}

// Unwrap returns store.ErrPrecondition.
func (e *NeedError) Unwrap() error { return store.ErrPrecondition }

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
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(im.partial.lock.Fd()), &st); err != nil {
		return fmt.Errorf("asking for free space: %w", err)
	}
	need := &NeedError{
		Path:  im.target,
		Bytes: bytes.Load(), FreeBytes: int64(st.Bavail) * st.Bsize,
		// A file system without a number of inodes makes them as it goes.
		Inodes: inodes.Load(), FreeInodes: int64(st.Ffree),
	}
	if need.Bytes > need.FreeBytes || (st.Files != 0 && need.Inodes > need.FreeInodes) {
		return need
	}
	usage := &UsageError{
		Path: im.target, Percent: im.opts.MaxUsage, Bytes: need.Bytes,
		Used: int64(st.Blocks-st.Bfree) * st.Bsize, Size: int64(st.Blocks) * st.Bsize,
	}
	if usage.Exceeded() {
		return usage
	}
	return nil
}

// UsageError reports a file system that would be too full for kubelet. It wraps
// store.ErrPrecondition.
type UsageError struct {
	Path string
	// Percent is the bound, 0 for none, Bytes what the store needs, Used and Size are the
	// file system's: the primary store and other stores that lie on it are in
	// Used.
	Percent           int
	Bytes, Used, Size int64
}

// after is the part in use with the store, in percent, rounded up.
func (e *UsageError) after() int { return int(((e.Used+e.Bytes)*100 + e.Size - 1) / e.Size) }

// Exceeded reports whether there is anything to report.
func (e *UsageError) Exceeded() bool { return e.Percent > 0 && e.after() > e.Percent }

// Error implements error.
func (e *UsageError) Error() string {
	return fmt.Sprintf("%s: with the store's %d MiB the file system would be %d%% full (%d of %d MiB are used): kubelet removes images from %d%% on",
		e.Path, e.Bytes>>20, e.after(), e.Used>>20, e.Size>>20, e.Percent)
}

// Unwrap returns store.ErrPrecondition.
func (e *UsageError) Unwrap() error { return store.ErrPrecondition }

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
