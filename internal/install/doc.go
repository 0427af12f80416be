// Package install brings images onto a node: it is the one way from a bundle, or from
// an image file that was made elsewhere, to a store. Every command that makes or
// repairs a store goes through it, in the same steps:
//
//  1. Open: rights, the signature of the key that must have made it, the inventory as that of
//     the whole bundle, the images that are wanted;
//  2. Run: the form of the new store and the bound of memory that goes with it, what is there
//     already, the layers that the bundle leaves to its base, the import itself, the
//     seal and the mount. It tells what it did.
//
// What a store or a slot is inside, and how one is made to survive a power cut, is the
// business of internal/store and internal/slot; words and flags are those of cmd.
package install
