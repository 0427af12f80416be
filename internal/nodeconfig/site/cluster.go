package site

import (
	"context"

	"github.com/nodeseal/nodeseal/internal/nodeconfig/carried"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/manifest"
)

// Cluster is what people ask for of a whole cluster.
type Cluster struct {
	Site
	// Pools are the names of the MachineConfigPools.
	Pools []string
	// PinnedImageSet makes one of all images of the bundle, and leaves pins to it.
	PinnedImageSet bool
	// Installer makes DaemonSets where its Image is set.
	Installer manifest.Installer
}

// Files returns everything for the cluster, under the names in the directory of config all.
func (o *Cluster) Files(ctx context.Context, in Inputs) (Files, error) {
	var out Files
	o.NoPins = o.NoPins || o.PinnedImageSet && len(o.Pins) == 0
	if o.PinnedImageSet && o.Bundle == "" {
		return out, refuse("--pinned-image-set takes the images of --bundle, which is missing")
	}
	s, v, err := o.Settings(ctx, in)
	if err != nil {
		return out, err
	}
	opts := manifest.Options{
		Pools: o.Pools, Version: v, Settings: s, RuntimeConfig: o.RuntimeConfig, Artifacts: o.Artifacts, Installer: o.Installer,
	}
	from := o.made(in)
	if o.Bundle != "" {
		has, err := carried.Read(ctx, o.Bundle, o.Trust)
		if err != nil {
			return out, err
		}
		from = append(from, has.From...)
		opts.OS = manifest.OperatingSystems{PinnedImages: manifest.PinnedImages(has.OS), Originals: has.Originals}
		if o.PinnedImageSet {
			opts.Pinned = manifest.PinnedImages(has.All)
		} else if opts.OS.NeedsPinned(v) {
			opts.Pinned = opts.OS.PinnedImages
		}
		if lack := opts.OS.Lack(v, len(opts.Pinned.Refs) > 0); lack != "" {
			in.Progress.Warn(lack)
		}
		if opts.Signatures, err = carried.BundleSignatures(ctx, o.Bundle, o.Trust); err != nil {
			return out, err
		}
	}
	opts.Made = in.Mark(from...)
	files, err := manifest.All(opts)
	if err != nil {
		return out, err
	}
	for _, f := range files {
		out.Files = append(out.Files, File{Name: f.Name, Content: string(f.Content)})
	}
	return out, nil
}

// MachineConfig returns that of a pool.
func (o *Site) MachineConfig(ctx context.Context, in Inputs, pool string) ([]byte, error) {
	if err := manifest.CheckPool(pool); err != nil {
		return nil, err
	}
	s, v, err := o.Settings(ctx, in)
	if err != nil {
		return nil, err
	}
	if o.RuntimeConfig { // refuses what is too early for it
		if _, err := manifest.ContainerRuntimeConfig(pool, v, s, o.Artifacts); err != nil {
			return nil, err
		}
	}
	return manifest.MachineConfig(pool, s)
}
