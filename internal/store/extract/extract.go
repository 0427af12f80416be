// Package extract unpacks the tar of one layer into its diff directory, the way
// containers/storage does (pkg/archive.Unpack with overlay's whiteouts, in a
// chroot), but without a chroot, a second process or a second pass: in one pass
// over the stream it proves the diff ID, compares the file table, writes the
// files and makes the tar-split.
//
// What the library accepts gives the tree that the library makes, but for times
// that the library takes from the clock (of whiteouts, and of directories that
// the tar does not list): those are the tar's, or the epoch. What leads out of
// the layer, or lies, is refused.
package extract

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/nodeseal/nodeseal/bundle/filetable"
	"github.com/nodeseal/nodeseal/bundle/layerrules"
	"github.com/nodeseal/nodeseal/internal/budget"
	"github.com/opencontainers/go-digest"
)

// Table lists the entries that the tar must have: a *filetable.Reader.
type Table interface {
	// Next returns the next entry, io.EOF behind the last.
	Next() (filetable.Entry, error)
}

// Options say how a layer is unpacked. The zero value unpacks as root, all
// kinds of files, without bounds.
type Options struct {
	// MaxSize bounds the length of the tar in bytes; 0 is no bound.
	MaxSize int64
	// Table, where set, is compared with every entry of the tar.
	Table Table
	// Prove, where set, says whether the SHA-256 that the table lists for a regular
	// file is compared with its content; nil stands for every file. What a caller
	// uses only as the content of this file of this layer is proven by the diff ID.
	Prove func(listed filetable.Entry) bool
	// Listing, where set, gets the file table of what is read.
	Listing *filetable.Writer
	// Work, where set, bounds what is held of layers that have many entries: it is
	// layerrules.Begin's, and the caller's to end. A Tree keeps Keeps bytes for each entry.
	Work  *budget.Work
	Keeps int64
	// UserNamespace unpacks without the rights of the machine's root: opaque
	// directories by user.overlay.opaque, device nodes left out, owners that
	// the namespace does not know replaced by its root (Result.Squashed).
	UserNamespace bool
	// NoDevices refuses device nodes other than whiteouts.
	NoDevices bool
}

// Root are attributes of a layer's root directory.
type Root struct {
	Mode     uint32    `json:"mode"`
	UID      int       `json:"uid"`
	GID      int       `json:"gid"`
	Modified time.Time `json:"modified"`
}

// Result is what a layer turned out to be.
type Result struct {
	DiffID   digest.Digest `json:"diffID"`
	DiffSize int64         `json:"diffSize"`
	UIDs     []uint32      `json:"uids,omitempty"`
	GIDs     []uint32      `json:"gids,omitempty"`
	// Root is set where the tar sets attributes of the root directory. The
	// directory has its extended attributes already; the rest is the caller's,
	// because a layer that sets none has those of the layer below it.
	Root *Root `json:"root,omitempty"`
	// Lost says why the store cannot give the tar back byte for byte, "" where it can.
	Lost string `json:"lost,omitempty"`
	// Files counts the entries of the tar.
	Files int64 `json:"files"`
	// Squashed counts owners that were replaced and capabilities that were left
	// out because the namespace does not know their IDs (UserNamespace).
	Squashed int64 `json:"squashed,omitempty"`
}

// Extractor unpacks layers, one after another: it keeps its buffers from one to
// the next, about 4 MiB where streams cannot write themselves. The zero value is ready.
// It is for one goroutine.
type Extractor struct {
	buf     []byte
	readBuf []byte // of the pump
}

// Layer unpacks the plain tar stream into the empty directory dir and writes
// its tar-split, as uncompressed JSON lines, to tarSplit. It reads the stream
// to its end and does not close it; one that is an io.WriterTo is not copied on its
// way. The Result's DiffID is what the stream has;
// comparing it is the caller's: until then the tree is not proven.
//
// An error about the tar is a *RefusedError; where the stream fails it is the
// stream's own; errors of the file system wrap the errno.
func (e *Extractor) Layer(ctx context.Context, stream io.Reader, dir *os.File, tarSplit io.Writer, opts Options) (*Result, error) {
	opts.Keeps = keeps
	s := e.newScan(opts)
	u, err := newUnpacker(dir, s)
	if err != nil {
		return nil, err
	}
	defer u.close()
	s.tree = u
	return e.run(ctx, s, stream, tarSplit)
}

func sorted(set map[uint32]struct{}) []uint32 {
	ids := make([]uint32, 0, len(set))
	for id := range set {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// RefusedError reports an entry of a tar that is not unpacked. The reasons are
// the Err* values of this package, or what the file system or the tar reader
// said of the entry.
type RefusedError struct {
	// Name is the entry's name as the tar has it, "" where the tar itself is wrong.
	Name string
	Err  error
}

// Error implements error.
func (e *RefusedError) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("tar is refused: %v", e.Err)
	}
	name := e.Name
	if len(name) > 256 {
		name = name[:256] + "..."
	}
	return fmt.Sprintf("tar entry %q is refused: %v", name, e.Err)
}

// Unwrap returns the reason.
func (e *RefusedError) Unwrap() error { return e.Err }

// Why an entry is refused.
var (
	ErrLeadsOut  = layerrules.ErrLeadsOut
	ErrType      = layerrules.ErrType
	ErrWhiteout  = layerrules.ErrWhiteout
	ErrTwice     = layerrules.ErrTwice
	ErrDevice    = errors.New("device nodes are not wanted")
	ErrTable     = errors.New("the file table says something else")
	ErrTooLong   = errors.New("it is longer than it may be")
	ErrExpanding = errors.New("its content is longer than the tar")
)
