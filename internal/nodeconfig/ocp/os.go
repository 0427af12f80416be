package ocp

// Where the releases change.
const (
	pinnedMinor, pinnedPatch = 19, 12 // PinnedImageSet v1, and containers-storage with one
	localMinor               = 23     // containers-storage without one, at first boot too
)

// OSSource says where the machine-config daemon of a release reads the image of the
// operating system.
type OSSource int

const (
	// OSRegistry is always a registry.
	OSRegistry OSSource = iota
	// OSPinned is containers-storage for upgrades of nodes with a PinnedImageSet, and a
	// registry for the others and for the first boot of a node.
	OSPinned
	// OSLocal is containers-storage if the image is there, at first boot too.
	OSLocal
)

// OSSource is that of the release. A version without its patch level counts as the
// earliest of its minor version.
func (v Version) OSSource() OSSource {
	switch {
	case v.AtLeast(localMinor):
		return OSLocal
	case v.HasPinnedImageSet():
		return OSPinned
	}
	return OSRegistry
}

// HasPinnedImageSet reports whether the release has PinnedImageSet v1 by default. A
// version without its patch level counts as the earliest of its minor version.
func (v Version) HasPinnedImageSet() bool {
	return v.AtLeast(pinnedMinor+1) || v.AtLeast(pinnedMinor) && v.Patch >= pinnedPatch
}

// NeedsPatch reports whether what the release does depends on the patch level, and v
// does not say it.
func (v Version) NeedsPatch() bool {
	return v.Major == 4 && v.Minor == pinnedMinor && v.Patch == AnyPatch
}

// FirstPinned is the first release with PinnedImageSet v1 by default.
func FirstPinned() Version { return Version{Major: 4, Minor: pinnedMinor, Patch: pinnedPatch} }

// FirstLocal is the first release that reads the operating system from
// containers-storage without a PinnedImageSet.
func FirstLocal() Version { return Version{Major: 4, Minor: localMinor, Patch: AnyPatch} }
