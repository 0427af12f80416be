// Package verify proves that a written store still is what it was made to be:
// it makes the tar of each layer again from its files and its tar-split and
// compares the digest with the diff ID, compares the attributes of each file
// with the tar's headers, and every other file of the store with what follows
// from the inventory, the manifests and the configurations.
package verify

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/nodeseal/nodeseal/internal/budget"
	"github.com/nodeseal/nodeseal/internal/hashtable"
	"github.com/nodeseal/nodeseal/internal/store/extract"
	"github.com/nodeseal/nodeseal/internal/store/tarsplit"
	"github.com/opencontainers/go-digest"
)

// bufferSize is how much of a file is read and hashed at once.
const bufferSize = 256 << 10

// Finding is one place that is not what it must be. Its path is below the
// layer's contents or, in a Report, below the store; "" is the layer as a whole.
type Finding struct {
	Path string
	Err  error
}

// LayerOptions change how a layer is verified.
type LayerOptions struct {
	// Read is called with the bytes of the tar as they are hashed; may be nil.
	Read func(n int64)
	// Size is how long the tar is, as the layer's record says; 0 where that is not
	// known. A tar-split that is longer than one of such a layer is not read to its end.
	Size int64
}

// Layer verifies the contents diff of a layer with the diff ID want against its
// tar-split, compressed as the store holds it. It returns what the tar tells
// (of use where nothing was found), and everything that is wrong, sorted by
// path: contents, attributes, extended attributes, files that are missing and
// files that are foreign. Times of access are not compared. The error is about
// reading the machine, not about damage.
func Layer(ctx context.Context, diff *os.File, tarSplit io.ReadSeeker, want digest.Digest, opts LayerOptions) (*extract.Result, []Finding, error) {
	v, err := checkLayer(ctx, diff, tarSplit, want, opts, false)
	if err == nil && v.result.DiffID != want {
		v, err = lookAgain(ctx, diff, tarSplit, want, opts.Size)
	}
	if err != nil {
		return nil, nil, err
	}
	if v.more > 0 {
		v.found = append(v.found, Finding{Err: fmt.Errorf("%d places more are not what they must be", v.more)})
	}
	slices.SortStableFunc(v.found, func(a, b Finding) int { return strings.Compare(a.Path, b.Path) })
	return v.result, v.found, nil
}

// lookAgain verifies a layer whose files do not make its tar: because they cannot, or
// because they are damaged; then with the checksum of each file, to name those.
func lookAgain(ctx context.Context, diff *os.File, tarSplit io.ReadSeeker, want digest.Digest, size int64) (*layerCheck, error) {
	why, err := lostLayer(ctx, tarSplit, size)
	if err == nil && why != "" {
		return checkLost(ctx, diff, tarSplit, want, size, why)
	}
	if err == nil {
		_, err = tarSplit.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, err
	}
	return checkLayer(ctx, diff, tarSplit, want, LayerOptions{Size: size}, true)
}

// checkLayer reads each file of a layer once.
func checkLayer(ctx context.Context, diff *os.File, tarSplit io.Reader, want digest.Digest, opts LayerOptions, sums bool) (*layerCheck, error) {
	v := newLayerCheck(ctx, diff)
	defer v.close()
	if err := v.rebuild(ctx, tarSplit, want, opts, sums); err != nil {
		return nil, err
	}
	if err := v.compare(ctx); err != nil {
		return nil, err
	}
	v.result.UIDs, v.result.GIDs = slices.Sorted(maps.Keys(v.uids)), slices.Sorted(maps.Keys(v.gids))
	return v, nil
}

// layerCheck is the verification of one layer.
type layerCheck struct {
	root *root
	work *budget.Work
	seed maphash.Seed
	hash maphash.Hash
	// places are what the tar has, by key.
	places hashtable.Table
	// differ is what is wanted of those files that are not that, by key; linked are those
	// among them that have several names, by inode. proven are the inodes that have several
	// names and are what the tar wants. waiting is about what differ holds, in bytes.
	differ  map[uint64]waiting
	linked  map[uint64]*wanted
	waiting int64
	proven  hashtable.Table

	found []Finding
	more  int // findings besides
	// silent is a comparison of which only the result counts.
	silent, differing bool
	// acl says that a directory of the layer has a default access list.
	acl bool
	// last is what the header before the content that is read now wants.
	last       *wanted
	lastAt     uint64
	lastLinked bool
	lastAbove  string // a directory that is noted
	result     *extract.Result
	uids       map[uint32]struct{}
	gids       map[uint32]struct{}
}

func (v *layerCheck) finding(path string, format string, args ...any) {
	switch {
	case v.silent:
		v.differing = true
	case len(v.found) == maxFindings:
		v.more++
	default:
		v.found = append(v.found, Finding{Path: path, Err: fmt.Errorf(format, args...)})
	}
}

// rebuild makes the tar again, compares its digest, and notes what each header
// wants.
func (v *layerCheck) rebuild(ctx context.Context, tarSplit io.Reader, want digest.Digest, opts LayerOptions, sums bool) error {
	zr, err := gzip.NewReader(bufio.NewReaderSize(tarSplit, 64<<10))
	if err != nil {
		v.finding("", "its tar-split cannot be read: %w", err)
		return nil
	}
	hash := sha256.New()
	stream := &rebuilt{
		ctx: ctx, root: v.root, read: opts.Read, damage: v.finding, opened: v.opened, sums: sums, file: -1,
		split: tarsplit.NewReader(tarsplit.Bound(ctx, zr, opts.Size)),
	}
	defer stream.close()
	hashed := io.TeeReader(stream, hash)
	tr := tar.NewReader(hashed)
	buf := make([]byte, bufferSize)
	for {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = v.header(hdr)
		}
		if err == nil && hdr.Size > 0 {
			_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, tr, buf) //nolint:gosec // it goes nowhere, and is as long as the files are
		}
		if err != nil {
			return v.broken(ctx, stream, err)
		}
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, hashed, buf); err != nil {
		return v.broken(ctx, stream, err)
	}
	v.result.DiffSize, v.result.DiffID = stream.size, digest.NewDigest(digest.SHA256, hash)
	if v.result.DiffID != want && len(v.found) == 0 {
		v.finding("", "its files make a tar with the digest %s", v.result.DiffID)
	}
	return nil
}

// broken decides what an error in the middle of the tar means.
func (v *layerCheck) broken(ctx context.Context, stream *rebuilt, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case stream.machine != nil:
		return fmt.Errorf("reading the layer's contents: %w", stream.machine)
	}
	v.finding("", "its tar-split is damaged: %w", err)
	return nil
}
