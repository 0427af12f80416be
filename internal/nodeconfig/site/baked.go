package site

import (
	"context"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
	"github.com/nodeseal/nodeseal/internal/storageconf"
)

// Baked is what people ask for of machines whose operating system has its images with it.
type Baked struct {
	Sources
	// Image is the file of the store in the operating system, Mount where it is mounted,
	// Program the program's path, Label the SELinux label of the mount.
	Image, Mount, Program, Label string
	// From is the storage.conf to start from; "" is the one that podman and CRI-O would read
	// below Output, or else a new one.
	From string
	// Output is the root of the operating system's image, "" if it is not known.
	Output string
	// Pins are patterns of what kubelet never removes; nil takes them from the bundle.
	Pins []string
}

// Files returns the files under their names on the machine, and the names of the units that
// must be enabled.
func (o *Baked) Files(ctx context.Context, in Inputs) (Files, []string, error) {
	if o.Image == "" {
		return Files{}, nil, refuse("--image is missing: the path that the store's file has on the machine")
	}
	if o.Bundle == "" {
		return Files{}, nil, refuse("--bundle is missing: its repositories are pinned and answered for")
	}
	b := machine.Baked{Image: o.Image, Mount: o.Mount, Binary: o.Program, Label: o.Label, Pins: o.Pins, Address: o.Address}
	repositories, err := o.bundleRepositories(ctx)
	if err != nil {
		return Files{}, nil, err
	}
	if len(b.Pins) == 0 {
		b.Pins = machine.Pins(repositories)
	}
	var from []byte
	switch {
	case o.From != "":
		from, err = in.read(o.From)
	case o.Output != "":
		_, from, err = storageconf.First(storageconf.Options{Path: func(p string) string { return filepath.Join(o.Output, p) }})
	}
	if err != nil {
		return Files{}, nil, err
	}
	if b.StorageConf, err = nodeconfig.Complete(from); err != nil {
		return Files{}, nil, err
	}
	r := nodeconfig.Registries{Address: o.Address, Repositories: repositories}
	if r.Mirrored, err = o.mirrored(ctx, in); err != nil {
		return Files{}, nil, err
	}
	conf, err := r.Conf()
	if err != nil {
		return Files{}, nil, err
	}
	b.Registries = []machine.File{
		{Path: nodeconfig.RegistriesConfFile, Mode: 0o644, Content: conf},
		{Path: nodeconfig.AttachmentsFile, Mode: 0o644, Content: r.Attachments()},
	}
	files, err := b.Tree()
	if err != nil {
		return Files{}, nil, err
	}
	var out Files
	for _, f := range files {
		out.Files = append(out.Files, File{Name: f.Path, Content: string(f.Content)})
	}
	return out, b.Enabled(), nil
}
