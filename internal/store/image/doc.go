// Package image writes an additional image store into one file: an EROFS image
// with the same tree that package dir writes into a directory.
//
// The layers' file tables are read first: they say which contents there are, and
// give each one, stored once however many layers hold it, its place. Then layers
// are decoded in parallel, in any order. Every layer is proven by its diff ID, and
// every content that more than one file has is hashed again and compared with what
// its table lists before the image counts as made. The bytes of
// the image depend on the bundle and the selection alone: not on the number of
// jobs, the machine, its clock or its file system.
//
// What is shared between layers is shared in the image: equal contents have the
// same blocks, and a layer that lies on several parents has hard links, as in the
// directory. Both halves of that matter: blocks alone would still store an inode
// and the end of each file once for every parent.
package image
