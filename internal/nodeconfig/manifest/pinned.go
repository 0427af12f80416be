package manifest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/ocp"
)

// maxPinned is how many images a PinnedImageSet takes.
const maxPinned = 500

type pinnedImageSet struct {
	typeMeta
	Metadata meta       `json:"metadata"`
	Spec     pinnedSpec `json:"spec"`
}

type pinnedSpec struct {
	PinnedImages []pinnedImage `json:"pinnedImages"`
}

type pinnedImage struct {
	Name string `json:"name"`
}

// The rules that the API holds for a name.
var (
	pinnedDigest = regexp.MustCompile(`^sha256:[a-f0-9]{64}$`)
	pinnedName   = regexp.MustCompile(`^([a-zA-Z0-9-]+\.)+[a-zA-Z0-9-]+(:[0-9]{2,5})?/([a-zA-Z0-9-_]{0,61}/)?[a-zA-Z0-9-_.]*?$`)
)

// PinnedImages are what PinnedImageSets are made of.
type PinnedImages struct {
	// Refs are references by digest, in any order, and may stand twice.
	Refs []string
	// Unpacked is what the images take on a node that has none of them, in bytes; 0 is
	// not known.
	Unpacked int64
}

// PinnedImageSets returns PinnedImageSets of a pool with the images, at most 500 in each.
// References that the API would refuse are all named in the error.
func PinnedImageSets(pool string, v Version, images PinnedImages) ([]byte, error) {
	if err := CheckPool(pool); err != nil {
		return nil, err
	}
	if !v.AtLeast(minorPinnedTech) {
		return nil, machine.Refuse("OpenShift %s has no PinnedImageSet (it is from 4.%d on): pins of the MachineConfig keep images too", v, minorPinnedTech)
	}
	refs := slices.Compact(slices.Sorted(slices.Values(images.Refs)))
	if len(refs) == 0 {
		return nil, machine.Refuse("there is no image for a PinnedImageSet: name a bundle with --bundle")
	}
	var bad []string
	for _, ref := range refs {
		name, digest, _ := strings.Cut(ref, "@")
		if !pinnedDigest.MatchString(digest) || !pinnedName.MatchString(name) {
			bad = append(bad, ref)
		}
	}
	if len(bad) > 0 {
		return nil, machine.Refuse("a PinnedImageSet takes host.name/folder/name@sha256:digest with at most one folder: "+
			"pins of the MachineConfig take any name:\n  %s", strings.Join(bad, "\n  "))
	}
	api := groupMachineConfig + "/v1"
	if !v.HasPinnedImageSet() && !v.NeedsPatch() {
		api = groupMachineConfig + "/v1alpha1"
	}
	var sets []any
	for part := range slices.Chunk(refs, maxPinned) {
		set := pinnedImageSet{
			typeMeta: typeMeta{APIVersion: api, Kind: "PinnedImageSet"},
			Metadata: meta{Name: fmt.Sprintf("%s-%d", Name(pool), len(sets)), Labels: map[string]string{labelRole: pool}},
		}
		for _, ref := range part {
			set.Spec.PinnedImages = append(set.Spec.PinnedImages, pinnedImage{ref})
		}
		sets = append(sets, set)
	}
	out, err := encode(sets...)
	if err != nil {
		return nil, err
	}
	return append(pinnedNote(v, images.Unpacked), out...), nil
}

// pinnedNote says what the machine-config daemon makes of the sets.
func pinnedNote(v Version, unpacked int64) []byte {
	var out strings.Builder
	size := ""
	if unpacked > 0 {
		size = fmt.Sprintf(", here up to %.1f GB", float64(unpacked)/1e9)
	}
	fmt.Fprintf(&out, `# Of one release: import its bundle first, and replace or delete this before retire.
# The machine-config daemon pulls each image that CRI-O does not find on the node into
# the primary store%s. The node's storage must be 16 GiB larger than twice
# their compressed size. If it can pull one of them nowhere, the pool is degraded.
`, size)
	switch {
	case v.NeedsPatch():
		fmt.Fprintf(&out, "# PinnedImageSet v1 is there by default from OpenShift %s on, not in all of %s.\n", ocp.FirstPinned(), v)
	case !v.HasPinnedImageSet():
		fmt.Fprintf(&out, "# Technology Preview before OpenShift %s: the feature set that it needs cannot be\n# taken back and blocks upgrades.\n", ocp.FirstPinned())
	}
	return []byte(out.String())
}
