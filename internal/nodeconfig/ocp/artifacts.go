package ocp

import "fmt"

// artifactsMinor is the release with CRI-O 1.35, which mounts OCI artifacts as image volumes
// and has additional_artifact_stores. Read in CRI-O's source; not tried on a node.
const artifactsMinor = 22

// ReadsArtifacts reports whether CRI-O of the release reads stores of OCI artifacts.
func (v Version) ReadsArtifacts() bool { return v.AtLeast(artifactsMinor) }

// FirstArtifacts names the first release of which ReadsArtifacts is true.
func FirstArtifacts() string { return fmt.Sprintf("4.%d", artifactsMinor) }

// LooksRegistryUp reports whether CRI-O of the release looks the host of an image's
// registry up before it pulls, also where a mirror answers. Shown with CRI-O 1.34; that
// 1.35, which comes with the same release as the stores of artifacts, does not was read in
// its source.
func (v Version) LooksRegistryUp() bool { return !v.AtLeast(artifactsMinor) }
