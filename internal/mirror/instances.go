package mirror

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/jsonbound"
	"github.com/nodeseal/nodeseal/internal/pull"
)

const (
	// maxNamed bounds how many platforms of a list the text of an error names.
	maxNamed = 10
	// maxUnsaid bounds how many entries without a platform are asked for theirs.
	maxUnsaid = 32
)

var errNested = errors.New("it is a manifest list itself: name the list inside instead, lists in lists are not carried")

// instance is an entry of a manifest list that is carried.
type instance struct {
	v1.Descriptor
	// first says that the list's reference means this entry: it is the first one of its
	// platform. The others are carried under their own digests, because clients differ in
	// which they take (containers/image prefers zstd to gzip since its version 5.30).
	first bool
}

// instances fetches the images of the list m for the platforms. Ref of each is by its own
// digest; Index is set for those that the list's reference means.
func (r *run) instances(ctx context.Context, repo string, m pull.Manifest, platforms []string) ([]bundle.Image, error) {
	var index v1.Index
	if err := jsonbound.Unmarshal(m.Bytes, &index); err != nil {
		return nil, fmt.Errorf("reading it: %w", err)
	}
	chosen := selectInstances(index.Manifests, platforms)
	unsaid := len(chosen) == 0
	if unsaid {
		chosen = withoutPlatform(index.Manifests)
	}
	images := make([]bundle.Image, 0, len(chosen))
	for _, desc := range chosen {
		ref := repo + "@" + desc.Digest.String()
		img, err := r.instance(ctx, ref)
		if unsaid && (errors.Is(err, bundle.ErrNotImage) || err == nil && img.Artifact) {
			continue // what is attached to an image, as builders add it to their lists
		}
		if err != nil {
			return nil, fmt.Errorf("instance %s: %w", desc.Digest, err)
		}
		if unsaid {
			if !slices.ContainsFunc(platforms, func(want string) bool { return matches(img.Platform, want) }) {
				continue
			}
			desc.first = !slices.ContainsFunc(images, func(o bundle.Image) bool { return samePlatform(o.Platform, img.Platform) })
		}
		img.Ref = ref
		if img.Artifact {
			img.Platform = desc.Platform // nothing in it says for which it is
		}
		if desc.first {
			img.Index = m.Digest
		}
		images = append(images, img)
	}
	if len(images) == 0 {
		return nil, noInstance(index.Manifests, platforms)
	}
	return images, nil
}

func (r *run) instance(ctx context.Context, ref string) (bundle.Image, error) {
	m, err := r.src.Manifest(ctx, ref)
	if err != nil {
		return bundle.Image{}, err
	}
	if bundle.IsIndex(m.MediaType) {
		return bundle.Image{}, errNested
	}
	return r.image(ctx, ref, m.Bytes, m.MediaType)
}

// selectInstances returns the entries of a manifest list for the platforms, in the order
// of the platforms: of each the first one, and all others of the very same platform.
// Platforms that the list lacks are left out.
func selectInstances(list []v1.Descriptor, platforms []string) []instance {
	var out []instance
	for _, want := range platforms {
		i := slices.IndexFunc(list, func(d v1.Descriptor) bool { return matchesExactly(d.Platform, want) })
		if i < 0 {
			i = slices.IndexFunc(list, func(d v1.Descriptor) bool { return matches(d.Platform, want) })
		}
		if i < 0 {
			continue
		}
		for j, d := range list {
			known := slices.ContainsFunc(out, func(o instance) bool { return o.Digest == d.Digest })
			if !known && (i == j || !isArtifact(d) && samePlatform(d.Platform, list[i].Platform)) {
				out = append(out, instance{d, i == j})
			}
		}
	}
	return out
}

// withoutPlatform returns the entries that do not say their platform, which is optional.
func withoutPlatform(list []v1.Descriptor) (out []instance) {
	for _, d := range list {
		if d.Platform == nil && !isArtifact(d) && len(out) < maxUnsaid {
			out = append(out, instance{Descriptor: d})
		}
	}
	return out
}

// isArtifact reports whether an entry says that it is no image. Some writers say of images
// that they are of the type of their configuration.
func isArtifact(d v1.Descriptor) bool {
	return d.ArtifactType != "" && d.ArtifactType != v1.MediaTypeImageConfig && d.ArtifactType != bundle.MediaTypeDockerConfig
}

// matches reports whether p is the platform want, written os/arch[/variant]. A
// want without a variant takes any.
func matches(p *v1.Platform, want string) bool {
	if p == nil {
		return false
	}
	is := p.OS + "/" + p.Architecture
	return want == is || (p.Variant != "" && want == is+"/"+p.Variant)
}

// matchesExactly is matches, but a want without a variant takes the baseline only.
func matchesExactly(p *v1.Platform, want string) bool {
	return matches(p, want) &&
		(strings.Count(want, "/") > 1 || p.Variant == "" || p.Architecture == "arm64" && p.Variant == "v8" || p.Architecture == "amd64" && p.Variant == "v1")
}

// samePlatform reports whether a and b say the same.
func samePlatform(a, b *v1.Platform) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.OS == b.OS && a.Architecture == b.Architecture && a.Variant == b.Variant && a.OSVersion == b.OSVersion &&
		slices.Equal(a.OSFeatures, b.OSFeatures)
}

// noInstance says what a list has instead of the platforms.
func noInstance(list []v1.Descriptor, platforms []string) error {
	var has []string
	for _, m := range list {
		name := "one that does not say its platform"
		if m.Platform != nil {
			name = fmt.Sprintf("%.40s/%.40s", m.Platform.OS, m.Platform.Architecture)
		}
		if slices.Contains(has, name) {
			continue
		}
		if len(has) == maxNamed {
			has = append(has, "and others")
			break
		}
		has = append(has, name)
	}
	return fmt.Errorf("it has no instance for %s, only for %s", strings.Join(platforms, ", "), strings.Join(has, ", "))
}
