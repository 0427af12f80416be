package manifest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
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

// PinnedImageSets returns PinnedImageSets of a pool with the references, at most
// 500 in each. References that the API would refuse are all named in the error.
func PinnedImageSets(pool string, v Version, refs []string) ([]byte, error) {
	if err := CheckPool(pool); err != nil {
		return nil, err
	}
	if !v.AtLeast(minorPinnedTech) {
		return nil, machine.Refuse("OpenShift %s has no PinnedImageSet (it is from 4.%d on): pins of the MachineConfig do the same", v, minorPinnedTech)
	}
	refs = slices.Compact(slices.Sorted(slices.Values(refs)))
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
	if !v.AtLeast(minorPinnedAPI) {
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
	note := "# In the place of pins, never beside them: nodeseal config machineconfig --no-pins\n"
	if !v.AtLeast(minorPinnedAPI) {
		note += "# Technology Preview before OpenShift 4.19: the feature set that it needs cannot be\n# taken back and blocks upgrades.\n"
	}
	return append([]byte(note), out...), nil
}
