package bundle

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/internal/jsonbound"
)

// The formats of an inventory. A bundle that requires nothing of its readers has the
// first: readers that know no features take it.
const (
	// FormatV1 is the Format of an inventory that Requires nothing.
	FormatV1 = "nodeseal bundle v1"
	// FormatV2 is the Format of an inventory that Requires something.
	FormatV2 = "nodeseal bundle v2"

	formatPrefix = "nodeseal bundle v"
)

// The features that an inventory can require of its readers. A new feature is added here and to
// knownFeatures. A reader that does not know a feature refuses the bundle, and names the feature.
// Every release knows these. Writers of a later one say in the inventory's field "needs" in which
// release it came.
const (
	// FeatureOriginalLayers is of bundles with an Image that is Original: a node keeps the
	// registry's own bytes of its layers.
	FeatureOriginalLayers = "original-layers"
	// FeatureArtifacts is of bundles with an Image that is an Artifact.
	FeatureArtifacts = "artifacts"
	// FeatureContentDeltas is of bundles that hold layers as what differs from older ones (Base.Deltas).
	FeatureContentDeltas = "content-deltas"
)

func knownFeatures() []string {
	return []string{FeatureArtifacts, FeatureContentDeltas, FeatureOriginalLayers}
}

// ErrUnsupported is wrapped where a later version of nodeseal is needed.
var ErrUnsupported = errors.New("a later version of nodeseal is needed")

// UnsupportedError reports an inventory that requires what this version does not know. It
// wraps ErrUnsupported: nothing is damaged.
type UnsupportedError struct {
	Format string
	// Features are those that are not known, sorted; none if the format itself is not.
	Features []string
	// Needs is the first release of nodeseal that reads the bundle, "" if the inventory
	// does not say so.
	Needs string
}

// release is what "needs" of an inventory may say.
var release = regexp.MustCompile(`^v[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}$`)

// maxFeatures and maxFeature bound what Error repeats of an inventory.
const (
	maxFeatures = 10
	maxFeature  = 60
)

// Error names what is not known.
func (e *UnsupportedError) Error() string {
	if len(e.Features) == 0 {
		return fmt.Sprintf("format %.60q is not known, only %q and %q: %s", e.Format, FormatV1, FormatV2, e.needed())
	}
	names := make([]string, 0, maxFeatures)
	for _, f := range e.Features[:min(len(e.Features), maxFeatures)] {
		names = append(names, fmt.Sprintf("%.*q", maxFeature, f))
	}
	text := strings.Join(names, ", ")
	if more := len(e.Features) - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("it requires %s, not known here: %s", text, e.needed())
}

// needed says which version reads the bundle.
func (e *UnsupportedError) needed() string {
	if e.Needs == "" {
		return ErrUnsupported.Error()
	}
	return "nodeseal " + e.Needs + " or later is needed"
}

// Unwrap returns ErrUnsupported.
func (e *UnsupportedError) Unwrap() error { return ErrUnsupported }

// SetFormat sets Format and Requires to what the images and deltas of the inventory need. Writers
// call it; Validate holds both to it.
func (inv *Inventory) SetFormat() {
	inv.Requires = inv.features()
	inv.Format = formatOf(inv.Requires)
}

func formatOf(requires []string) string {
	if len(requires) == 0 {
		return FormatV1
	}
	return FormatV2
}

// features are those that the inventory needs, sorted.
func (inv *Inventory) features() []string {
	var out []string
	if inv.HasArtifact() {
		out = append(out, FeatureArtifacts)
	}
	if inv.Base != nil && len(inv.Base.Deltas) > 0 {
		out = append(out, FeatureContentDeltas)
	}
	if slices.ContainsFunc(inv.Images, func(img Image) bool { return img.Original }) {
		out = append(out, FeatureOriginalLayers)
	}
	return out
}

// RequiresFeature reports whether an inventory says that it requires the feature: one that
// Validate refuses may say it wrongly. Nothing else is read of it.
func RequiresFeature(inventory []byte, feature string) bool {
	var head struct {
		Requires []string `json:"requires"`
	}
	return jsonbound.Unmarshal(inventory, &head) == nil && slices.Contains(head.Requires, feature)
}

// checkSupported reads only what an inventory of any version says of itself. The error is
// an *UnsupportedError, or wraps ErrInventory.
func checkSupported(data []byte) error {
	var head struct {
		Format   string   `json:"format"`
		Requires []string `json:"requires"`
		Needs    string   `json:"needs"`
	}
	if err := jsonbound.Unmarshal(data, &head); err != nil {
		return fmt.Errorf("%w: %w", ErrInventory, err)
	}
	if !release.MatchString(head.Needs) {
		head.Needs = "" // it is shown only
	}
	var unknown []string
	for _, f := range head.Requires {
		if !slices.Contains(knownFeatures(), f) {
			unknown = append(unknown, f)
		}
	}
	slices.Sort(unknown)
	later := head.Format != FormatV1 && head.Format != FormatV2 && strings.HasPrefix(head.Format, formatPrefix)
	if later || len(unknown) > 0 {
		return &UnsupportedError{Format: head.Format, Features: slices.Compact(unknown), Needs: head.Needs}
	}
	return nil
}

// checkFormat holds Format and Requires to the images.
func (inv *Inventory) checkFormat() error {
	needs := inv.features()
	if want := formatOf(needs); inv.Format != want {
		return fmt.Errorf("%w: format %.60q, want %q", ErrInventory, inv.Format, want)
	}
	if !slices.Equal(inv.Requires, needs) {
		return fmt.Errorf("%w: it requires %.200q, its images need %q", ErrInventory, inv.Requires, needs)
	}
	return nil
}
