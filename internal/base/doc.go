// Package base gives a bundle the layers that it leaves to its base: from stores
// and other bundles, whichever have them. Digests say what fits, not names; who
// reads a layer proves it, as one of the bundle itself.
package base
