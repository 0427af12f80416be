package erofs

import (
	"encoding/binary"
	"hash/crc32"
)

// The names in comments are those of fs/erofs/erofs_fs.h.
const (
	// BlockSize is the unit of allocation, in bytes.
	BlockSize = 4096
	blockBits = 12

	superMagic  = 0xE0F5E1E2
	superOffset = 1024 // EROFS_SUPER_OFFSET
	superSize   = 128

	featureChecksum = 0x1 // EROFS_FEATURE_COMPAT_SB_CHKSUM
	featureMtime    = 0x2 // EROFS_FEATURE_COMPAT_MTIME: the time of an inode is its mtime

	slotSize     = 32 // nids count slots from meta_blkaddr
	compactSize  = 32 // struct erofs_inode_compact
	extendedSize = 64 // struct erofs_inode_extended

	layoutPlain  = 0 // EROFS_INODE_FLAT_PLAIN
	layoutInline = 2 // EROFS_INODE_FLAT_INLINE

	direntSize = 12 // struct erofs_dirent
	maxName    = 255

	maxBlocks = 1<<32 - 1
)

// Types in the mode of an inode, as in stat(2).
const (
	typeMask    = 0o170000
	typeFIFO    = 0o010000
	typeChar    = 0o020000
	typeDir     = 0o040000
	typeBlock   = 0o060000
	typeRegular = 0o100000
	typeSymlink = 0o120000
	typeSocket  = 0o140000
)

// direntType is the file_type of a directory entry for an inode's mode.
func direntType(mode uint16) byte {
	types := [16]byte{
		typeRegular >> 12: 1, typeDir >> 12: 2, typeChar >> 12: 3, typeBlock >> 12: 4,
		typeFIFO >> 12: 5, typeSocket >> 12: 6, typeSymlink >> 12: 7,
	}
	return types[mode>>12]
}

// diskInode is what both forms of an inode hold.
type diskInode struct {
	extended bool
	layout   uint16
	icount   uint16 // i_xattr_icount
	mode     uint16
	nlink    uint32
	size     int64
	data     uint32 // i_u: raw_blkaddr or rdev
	ino      uint32
	uid, gid uint32
	sec      int64
	nsec     uint32
}

// append appends the inode in its form.
func (d *diskInode) append(b []byte) []byte {
	le := binary.LittleEndian
	format := d.layout << 1
	if d.extended {
		format |= 1
	}
	b = le.AppendUint16(b, format)
	b = le.AppendUint16(b, d.icount)
	b = le.AppendUint16(b, d.mode)
	if !d.extended {
		b = le.AppendUint16(b, uint16(d.nlink))
		b = le.AppendUint64(b, uint64(d.size)) // i_size has 32 bits, i_reserved is zero
		b = le.AppendUint32(b, d.data)
		b = le.AppendUint32(b, d.ino)
		b = le.AppendUint16(b, uint16(d.uid))
		b = le.AppendUint16(b, uint16(d.gid))
		return le.AppendUint32(b, 0)
	}
	b = le.AppendUint16(b, 0)
	b = le.AppendUint64(b, uint64(d.size))
	b = le.AppendUint32(b, d.data)
	b = le.AppendUint32(b, d.ino)
	b = le.AppendUint32(b, d.uid)
	b = le.AppendUint32(b, d.gid)
	b = le.AppendUint64(b, uint64(d.sec))
	b = le.AppendUint32(b, d.nsec)
	b = le.AppendUint32(b, d.nlink)
	return append(b, make([]byte, 16)...)
}

// superblock is struct erofs_super_block, as far as it is not zero here: root_nid is,
// because the root is the first inode.
type superblock struct {
	inodes     uint64
	sec        int64
	nsec       uint32
	blocks     uint32
	metaBlock  uint32
	xattrBlock uint32
	uuid       [16]byte
	volume     [16]byte
}

// block is block 0 of the image, with the checksum over all that follows byte 1024.
func (s *superblock) block() []byte {
	le := binary.LittleEndian
	block := make([]byte, BlockSize)
	b := block[superOffset:]
	le.PutUint32(b[0:], superMagic)
	le.PutUint32(b[8:], featureChecksum|featureMtime)
	b[12] = blockBits
	le.PutUint64(b[16:], s.inodes)
	le.PutUint64(b[24:], uint64(s.sec))
	le.PutUint32(b[32:], s.nsec)
	le.PutUint32(b[36:], s.blocks)
	le.PutUint32(b[40:], s.metaBlock)
	le.PutUint32(b[44:], s.xattrBlock)
	copy(b[48:], s.uuid[:])
	copy(b[64:], s.volume[:])
	// The kernel's crc32c is not inverted at the end, as Go's is.
	le.PutUint32(b[4:], ^crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return block
}

// roundUp rounds n up to a multiple of unit, a power of two.
func roundUp[T int | int64 | uint64](n, unit T) T {
	return (n + unit - 1) &^ (unit - 1)
}
