package installneeds

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist/release"
	"github.com/nodeseal/nodeseal/internal/jsonbound"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/ocp"
)

// versionLabel is the label of a release image with the release's version.
const versionLabel = "io.openshift.release"

var (
	// ErrNoRelease is wrapped where a bundle has no release of the version.
	ErrNoRelease = errors.New("the bundle has no release image of this version")
	// ErrSeveral is wrapped where it has several.
	ErrSeveral = errors.New("the bundle has several releases of this version")
	// ErrContradicts is wrapped where a release image says that it is of one version, and the
	// list of images in it of another one.
	ErrContradicts = errors.New("the release image contradicts itself")
	// ErrBase is wrapped where the bundle leaves layers to a base.
	ErrBase = errors.New("it leaves layers to its base, and a machine before its installation has no base")
)

// Bundle is what is read of a bundle: archive.Reader.
type Bundle interface {
	Inventory() *bundle.Inventory
	ReadBlob(ctx context.Context, d digest.Digest) ([]byte, error)
	OpenLayer(ctx context.Context, d digest.Digest) (io.ReadCloser, error)
}

// Read returns the release of version v that the bundle has: of any patch level, if v says none.
// Which image is a release it says itself, by a label; the list of its images is in its last layer.
// Both are verified. Where the release image is a list, the list of images is that of its first
// instance in the bundle: it is the same in each. Errors wrap ErrNoRelease, ErrSeveral, ErrContradicts,
// ErrBase, or are those of the bundle and of release.FromLayer.
func Read(ctx context.Context, b Bundle, v ocp.Version) (*release.Payload, error) {
	if b.Inventory().Base != nil {
		return nil, fmt.Errorf("the bundle: %w", ErrBase)
	}
	found, others, err := find(ctx, b, v)
	if err != nil {
		return nil, err
	}
	switch {
	case found == nil && len(others) == 0:
		return nil, fmt.Errorf("%w: %s; it has no release image at all", ErrNoRelease, v)
	case found == nil:
		return nil, fmt.Errorf("%w: %s; it has %s", ErrNoRelease, v, strings.Join(others, ", "))
	case len(found) > 1:
		return nil, fmt.Errorf("%w: %s; it has %s", ErrSeveral, v, strings.Join(others, ", "))
	}
	img := found[0].image
	if len(img.Layers) == 0 {
		return nil, fmt.Errorf("image %s: %w: it has no layers", img.Ref, release.ErrNotRelease)
	}
	layer := b.Inventory().LayerBlob(img.Layers[len(img.Layers)-1])
	r, err := b.OpenLayer(ctx, layer)
	if err != nil {
		return nil, fmt.Errorf("release image %s: layer %s: %w", img.Ref, layer, err)
	}
	defer r.Close()
	p, err := release.FromLayer(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("release image %s: layer %s: %w", img.Ref, layer, err)
	}
	if p.Version != found[0].version {
		return nil, fmt.Errorf("release image %s: %w: its label says %s, its list of images is of %s", img.Ref, ErrContradicts, found[0].version, p.Version)
	}
	p.Image = img.Ref
	return p, nil
}

// labelled is a release image with the version that its label says.
type labelled struct {
	image   *bundle.Image
	version string
}

// find returns the release images of version v, one of each reference, and the versions of all
// release images, sorted.
func find(ctx context.Context, b Bundle, v ocp.Version) (found []labelled, versions []string, err error) {
	inv := b.Inventory()
	seen := make(map[string]bool)
	for i := range inv.Images {
		img := &inv.Images[i]
		if img.Artifact || seen[img.Ref] {
			continue
		}
		config, err := b.ReadBlob(ctx, img.Config.Digest)
		if err != nil {
			return nil, nil, fmt.Errorf("image %s: configuration: %w", img.Ref, err)
		}
		version := versionOf(config)
		if version == "" {
			continue
		}
		seen[img.Ref] = true
		versions = append(versions, version)
		if is, ok := ocp.Read(version); ok && is.Major == v.Major && is.Minor == v.Minor && (v.Patch == ocp.AnyPatch || v.Patch == is.Patch) {
			found = append(found, labelled{img, version})
		}
	}
	slices.Sort(versions)
	return found, slices.Compact(versions), nil
}

// versionOf is the version that an image's configuration says its release has, "" for other images.
func versionOf(config []byte) string {
	var c struct {
		Config struct {
			Labels map[string]string `json:"Labels"`
		} `json:"config"`
	}
	if err := jsonbound.Unmarshal(config, &c); err != nil {
		return "" // its labels have another form: no release's do
	}
	return c.Config.Labels[versionLabel]
}
