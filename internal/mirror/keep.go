package mirror

import (
	"context"
	"errors"
	"fmt"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/jsonbound"
)

// ErrNoOriginal is wrapped where the registry's bytes of an image are to be kept, and the
// source has it only unpacked.
var ErrNoOriginal = errors.New("its source has the image only unpacked, not as a registry has it")

// keep marks the images whose layers are kept as the registry has them, and each of these
// layers in every image: it is in the bundle once. It returns the images without those
// that failed.
func (r *run) keep(ctx context.Context, images []bundle.Image) ([]bundle.Image, error) {
	kept := artifactLayers(images)
	entries := make([]imagelist.Entry, len(images))
	for i, img := range images {
		entries[i] = imagelist.Entry{Ref: img.Ref, Names: img.Names, Role: img.Role}
	}
	for _, pattern := range r.o.Keep.Unmatched(entries) {
		r.o.Progress.Warn(fmt.Sprintf("no image matches %s, of which the registry's own bytes were to be kept", pattern))
	}
	out := images[:0]
	for i, img := range images {
		if img.Artifact {
			out = append(out, img)
			continue
		}
		keep, named := r.o.Keep.Wants(entries[i])
		if keep && !r.hasOriginal(ctx, &img) {
			keep = false
			if named {
				if err := r.failed(ctx, img.Ref, ErrNoOriginal); err != nil {
					return nil, err
				}
				continue
			}
			r.o.Progress.Warn(fmt.Sprintf("image %s: %v: nodes will not have it for rpm-ostree", img.Ref, ErrNoOriginal))
		}
		if img.Original = keep; keep {
			for _, l := range img.Layers {
				kept[l.Digest] = true
			}
		}
		out = append(out, img)
	}
	for i := range out {
		for j := range out[i].Layers {
			l := &out[i].Layers[j]
			l.Original = kept[l.Digest]
		}
	}
	r.raw = onlyArtifactLayers(out)
	return out, nil
}

// hasUnpacked reports whether the source has a layer unpacked, which is of no use where it
// is to be kept as a registry has it.
func (r *run) hasUnpacked(ctx context.Context, l bundle.Layer) bool {
	src, ok := r.src.(PlainSource)
	if !ok {
		return false
	}
	in, ok, err := src.PlainLayer(ctx, l.DiffID)
	if err != nil || !ok {
		return false
	}
	_ = in.Close() // nothing was read
	return true
}

// roleOf says what an image says of itself, for lists that do not: operating systems in
// containers have one of these labels.
func roleOf(config []byte) string {
	var c struct {
		Config struct {
			Labels map[string]string `json:"Labels"`
		} `json:"config"`
	}
	if err := jsonbound.Unmarshal(config, &c); err != nil {
		return "" // DescribeImage has read it: labels of another form say nothing
	}
	for _, label := range []string{"ostree.bootable", "containers.bootc"} {
		if v := c.Config.Labels[label]; v == "true" || v == "1" {
			return bundle.RoleOS
		}
	}
	return ""
}

// hasOriginal reports whether the source can give the layers of img as a registry has them.
func (r *run) hasOriginal(ctx context.Context, img *bundle.Image) bool {
	src, ok := r.src.(PartSource)
	if !ok {
		return true
	}
	for _, l := range img.Layers {
		if !src.HasBlob(ctx, l.Digest) {
			return false
		}
	}
	return true
}
