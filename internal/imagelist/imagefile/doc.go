// Package imagefile takes images out of files: OCI layouts (directories), OCI archives and
// docker archives, as podman save, skopeo copy, docker save and builders write them, and out of what a
// registry or oc-mirror stored. Such a
// file may come from anybody. It is read where it lies: nothing is unpacked. Only regular
// files are opened and no link of the file system is followed; what is read whole is bounded;
// manifests are held to their digests here, and blobs by who reads them.
package imagefile
