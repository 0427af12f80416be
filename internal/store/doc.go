// Package store is the pure model of an additional image store of
// containers/storage: which layers and images a bundle makes, what the files of
// the store hold and how they are named. Everything is derived from digests, so
// that two nodes with the same bundle have the same store, byte for byte.
//
// Package dir writes a store into a directory, extract unpacks one layer, check
// opens a store with the library. Open reads what was written.
package store
