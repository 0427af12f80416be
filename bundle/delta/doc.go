// Package delta holds the plain tar of a layer as what differs from the files of older layers.
// docs/bundle-format.md describes the format. A Reader gives the tar back; that it is the layer,
// its caller proves by the diff ID. What decides which old file a new one is told by is not here.
package delta

import (
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
)

const (
	magic = "nodeseal delta v1\n"

	// Window is that of the zstd frame, in bytes.
	Window = 8 << 20
	// MaxLayers is how many older layers one delta refers to.
	MaxLayers = 4096
	// MaxPath bounds the path of an old file, in bytes.
	MaxPath = 4096
	// MaxFile bounds the size of an old file, in bytes.
	MaxFile = 1 << 42
	// MaxOps is how many pieces one section has.
	MaxOps = 1 << 17
	// MaxRanges is how many address ranges a file has.
	MaxRanges = 16
	// Memory is what a Reader takes at most, in bytes.
	Memory = 40 << 20

	// headerSize is what a tar has before each of its files, in bytes: it bounds how many old files
	// a delta opens.
	headerSize = 512

	maxChunk  = 4 << 20 // bytes of output
	maxGroups = 1 << 18 // differences in a chunk
	maxGap    = 4       // bytes of the number before a difference
)

// The kinds of records.
const (
	recordEnd = iota
	recordLiteral
	recordEqual
	recordChanged
)

// The symbols of differences: the lowest are places among the latest differences.
const (
	recentWords = 240
	symRelative = 240 // to 243: the field begins so many bytes before
	symAbsolute = 244 // to 247
	symByte     = 248
	symWord8    = 249
	symWord16   = 250
	symWord32   = 251
)

// File names a regular file of an older layer.
type File struct {
	// Layer counts in the list of layers of the delta.
	Layer int
	// Path is the file's in the unpacked layer: relative, clean, with slashes.
	Path string
	// Offset is where its content begins in the layer's plain tar, Size how long it is.
	Offset, Size int64
}

// Op is a piece of a new file: Copy bytes that resemble those at Old of the old file, and Literal
// bytes that follow them.
type Op struct {
	Old           int64
	Copy, Literal int64
}

// Range places bytes of a file in memory, as a program header of ELF does.
type Range struct{ Addr, Off, Len int64 }

// OldFile is an open file of an older layer.
type OldFile interface {
	io.ReaderAt
	io.Closer
}

// Old opens files of older layers. Nothing of what it gives is trusted.
type Old interface {
	OpenOld(layer digest.Digest, f File) (OldFile, error)
}

// ErrOld is wrapped where an old file cannot be read as the delta asks for it.
var ErrOld = errors.New("the older layer does not have what the delta refers to")

// OldError says which old file could not be read. It wraps ErrOld and the cause.
type OldError struct {
	Layer digest.Digest
	Path  string
	Err   error
}

// Error implements error.
func (e *OldError) Error() string {
	return fmt.Sprintf("file %q of layer %s: %v", e.Path, e.Layer, e.Err)
}

// Unwrap returns ErrOld and the cause.
func (e *OldError) Unwrap() []error { return []error{ErrOld, e.Err} }
