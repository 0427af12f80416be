// Package erofs writes images of EROFS, the read-only file system of Linux, from
// many goroutines at once and in bounded memory. It is for trees whose contents
// arrive in any order, such as the layers of container images.
//
// # Use
//
// A Builder is used in three steps, all but the first by any number of goroutines:
//
//  1. [Builder.Reserve] sets aside the place of each distinct content, in an order
//     that the caller fixes. Nothing is written yet.
//  2. A [Writer] for each goroutine writes contents to their places, in any order.
//  3. [Builder.Dir], [Builder.File], [Builder.Symlink], [Builder.Special] and
//     [Builder.Link] describe the tree, in any order but parents before children.
//     Files that name the same [Content] share its blocks.
//
// [Builder.Finish] then writes inodes, directories and extended attributes behind
// the contents, and last the superblock: a file whose Finish did not return has
// no superblock and cannot be mounted.
//
// A [Reader] finds the files of such an image again, and which of its bytes are
// their contents.
//
// # Determinism
//
// The image is a function of the options, the order of the Reserve calls, the
// contents, and the tree. Neither the order in which the tree is described nor
// timing leaves a trace: inodes are placed by a walk that sorts names.
//
// # Format
//
// The format is that of fs/erofs/erofs_fs.h and Documentation/filesystems/erofs.rst
// in the Linux sources, in the subset that every kernel since 5.4 mounts:
// 4096-byte blocks, uncompressed, the flat plain and flat inline layouts, compact
// and extended inodes, inline and shared extended attributes.
//
//	block 0          superblock at byte 1024
//	contents         in the order of Reserve, each at a block of its own
//	directories      whole blocks of directories, targets of very long symlinks
//	shared xattrs    xattr_blkaddr
//	inodes           meta_blkaddr: inode, inline xattrs, inline tail; the root first
//
// A tail is what is left of a content after its last whole block. Tails of at most
// [TailMax] bytes do not get a block: they wait in a spool file and are written
// behind their inode (docs/adr/0003-erofs-writer.md says what that saves).
package erofs
