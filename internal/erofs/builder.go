package erofs

import (
	"crypto/sha256"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/nodeseal/nodeseal/internal/filemem"
)

// maxRecords bounds inodes, entries and contents: their numbers are 32-bit.
const maxRecords = 1<<32 - 1

// Spool is a file for what waits until Finish: about half of the bytes in small
// files. Nothing in it is of use afterwards.
type Spool interface {
	io.ReaderAt
	io.WriterAt
}

// Options are the properties of an image. The zero Options give an image of 1970
// without a name, with root mode 0, in which every content takes whole blocks.
type Options struct {
	// Spool keeps tails. Without one every content takes whole blocks.
	Spool Spool
	// Tables keeps what is known of the files: less than 100 bytes for each with its
	// name. nil is ordinary memory. It must not be closed before Finish has returned.
	Tables *filemem.Space
	// BuildTime is the superblock's time, and that of inodes with no time of their
	// own. Inodes of this time are half as large. The zero Time stands for 1970.
	BuildTime time.Time
	// UUID identifies the file system. See UUIDOf.
	UUID [16]byte
	// Volume is the volume name, at most 15 bytes.
	Volume string
	// Root has the attributes of the root directory.
	Root Attr
}

// UUIDOf derives a UUID (version 8 of RFC 9562) from a seed, such as a digest of what
// the image is made of.
func UUIDOf(seed []byte) [16]byte {
	sum := sha256.Sum256(seed)
	id := [16]byte(sum[:16])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

// Builder makes one image. Its methods may be called by many goroutines at once, but
// for Finish, which wants to be alone. There is nothing to close: the caller owns the
// files.
type Builder struct {
	image io.WriterAt
	spool Spool
	space *filemem.Space
	sb    superblock

	mu        sync.Mutex
	finished  bool
	blocks    int64 // taken by the superblock and the contents
	spoolUsed int64 // in tailUnits
	contents  table[content]
	inodes    table[inode]
	entries   table[entry]
	strings   arena // names and targets of symlinks
	dot       uint32
	dotDot    uint32
	xattrs    *xattrs
	scratch   []uint32 // of sortDir
}

// New returns a Builder that writes to image, which must read as zeros where nothing
// was written, as a new file does. The error is ErrAttr or ErrXattr.
func New(image io.WriterAt, opts Options) (*Builder, error) {
	b := &Builder{image: image, spool: opts.Spool, space: opts.Tables, blocks: 1, xattrs: newXattrs()}
	b.contents.space, b.inodes.space, b.entries.space, b.strings.space = b.space, b.space, b.space, b.space
	if !opts.BuildTime.IsZero() {
		b.sb.sec, b.sb.nsec = opts.BuildTime.Unix(), uint32(opts.BuildTime.Nanosecond())
	}
	if len(opts.Volume) >= len(b.sb.volume) {
		return nil, fmt.Errorf("%w: volume name %q", ErrAttr, opts.Volume)
	}
	b.sb.uuid = opts.UUID
	copy(b.sb.volume[:], opts.Volume)
	if err := b.begin(); err != nil {
		return nil, fmt.Errorf("tables: %w", err)
	}
	if _, err := b.dir(Root, opts.Root); err != nil {
		return nil, fmt.Errorf("root directory: %w", err)
	}
	b.inodes.at(uint32(Root)).nlink++ // in place of an entry in a parent
	return b, nil
}

// begin makes what every image has.
func (b *Builder) begin() error {
	_, err := b.contents.add(content{tail: noTail})
	if err == nil {
		b.dot, err = b.strings.add(".")
	}
	if err == nil {
		b.dotDot, err = b.strings.add("..")
	}
	return err
}

// Node is an inode of a Builder's tree. Root is there from the start.
type Node uint32

// Root is the root directory.
const Root Node = 0

// Attr are the attributes of an inode.
type Attr struct {
	Mode     uint32 // 07777: permissions, and the set-user-ID, set-group-ID and sticky bits
	UID, GID uint32
	// ModTime is kept to the nanosecond. The zero Time stands for the build time.
	ModTime time.Time
	// Xattrs are extended attributes by full name ("security.capability"), in the
	// namespaces user, trusted and security, and system.posix_acl_access and
	// system.posix_acl_default with the value that getxattr(2) gives.
	Xattrs map[string]string
}

// Special is the kind of a file without contents.
type Special uint16

// The kinds of special files.
const (
	CharDevice  Special = typeChar
	BlockDevice Special = typeBlock
	FIFO        Special = typeFIFO
	Socket      Special = typeSocket
)

// Dev is the number of a device: 12 bits major, 20 bits minor.
type Dev struct{ Major, Minor uint32 }

// encode is new_encode_dev of the kernel.
func (d Dev) encode() (uint32, error) {
	if d.Major >= 1<<12 || d.Minor >= 1<<20 {
		return 0, fmt.Errorf("%w: device %d:%d", ErrAttr, d.Major, d.Minor)
	}
	return d.Minor&0xff | d.Major<<8 | d.Minor&^0xff<<12, nil
}
