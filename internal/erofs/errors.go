package erofs

import "errors"

// What the methods of a Builder, a Writer and a Reader can answer with, always wrapped.
// Besides these, fs.ErrExist says that a directory has two entries of one name.
var (
	// ErrName is a name that no directory can hold: empty, "." or "..", longer than
	// 255 bytes, or with a slash or a NUL in it.
	ErrName = errors.New("invalid name")
	// ErrNode is a Node that is not of this Builder, or of the wrong kind for the
	// call: a parent that is no directory, a hard link to a directory.
	ErrNode = errors.New("invalid node")
	// ErrAttr is an attribute that the format cannot hold.
	ErrAttr = errors.New("invalid attribute")
	// ErrXattr is an extended attribute outside of the namespaces of EROFS, or one
	// too long for it (values have at most 65,535 bytes).
	ErrXattr = errors.New("invalid extended attribute")
	// ErrContent is a content that is not of this Builder, or whose bytes are more
	// or fewer than were reserved.
	ErrContent = errors.New("invalid content")
	// ErrLimit is an image beyond what the format or this package can hold: 16 TiB,
	// 2^32 - 1 inodes, entries or contents, 4 GiB of names, 128 GiB of inodes, about
	// 64 MiB of distinct extended attributes.
	ErrLimit = errors.New("image too large")
	// ErrImage is what a Reader does not take for an image of this package.
	ErrImage = errors.New("not a valid image")
	// ErrFinished is a call after Finish.
	ErrFinished = errors.New("image already finished")
)
