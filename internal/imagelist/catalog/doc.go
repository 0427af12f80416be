// Package catalog reads operator catalogs: images with a file-based catalog, as OLM serves them, and says
// which images the bundles of chosen channels need. A catalog has hundreds of megabytes of JSON: it is
// read as a stream, one object at a time, and of it only names, versions and images are kept.
//
// Which bundles are chosen follows oc-mirror: the head of each channel, or the versions of a range with
// what lies between them on the channel's way of updates.
package catalog
