package site

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"go.podman.io/image/v5/docker/reference"

	"github.com/nodeseal/nodeseal/internal/imagelist/objects"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/trust"
)

// Sources say for which repositories nodeseal serve is asked, and where else.
type Sources struct {
	// Bundle is one whose repositories are meant.
	Bundle string
	// Trust says whose signature Bundle must have.
	Trust trust.Bundle
	// Mirrors are files with mirror sets, besides those of Inputs.Cluster.
	Mirrors []string
	// Address is that of nodeseal serve.
	Address string
}

// ServeFiles returns the drop-ins that send pulls to nodeseal serve, and its unit, which
// answers from the stores in dirs. The repositories are the bundle's, or else the stores'.
func (o *Sources) ServeFiles(ctx context.Context, in Inputs, dirs []string) (Files, error) {
	if _, err := reference.ParseNamed(o.Address + "/name"); err != nil {
		return Files{}, refuse("--listen %q: not a host and port that a reference can have", o.Address)
	}
	r := nodeconfig.Registries{Address: o.Address}
	var err error
	if o.Bundle != "" {
		r.Repositories, err = o.bundleRepositories(ctx)
	} else {
		r.Repositories, err = storeRepositories(dirs)
	}
	if err != nil {
		return Files{}, err
	}
	if r.Mirrored, err = o.mirrored(ctx, in); err != nil {
		return Files{}, err
	}
	conf, err := r.Conf()
	if err != nil {
		return Files{}, err
	}
	text, err := nodeconfig.ServeUnit{Stores: dirs, Address: o.Address}.Text()
	if err != nil {
		return Files{}, err
	}
	return Files{Files: []File{
		{Name: nodeconfig.RegistriesConfFile, Content: string(conf)},
		{Name: nodeconfig.AttachmentsFile, Content: string(r.Attachments())},
		{Name: machine.UnitDir + nodeconfig.ServeUnitName, Content: string(text)},
	}}, nil
}

// bundleRepositories returns the repositories of the bundle's references.
func (o *Sources) bundleRepositories(ctx context.Context) ([]string, error) {
	f, err := o.Trust.Open(ctx, o.Bundle)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	var names []string
	for _, img := range f.Inventory().Images {
		names = append(append(names, img.Ref), img.Names...)
	}
	return repositories(names)
}

// storeRepositories returns the repositories of the stores' references.
func storeRepositories(dirs []string) ([]string, error) {
	var names []string
	for _, dir := range dirs {
		s, err := store.Open(store.Files(dir))
		if err != nil {
			return nil, fmt.Errorf("store %s: %w", dir, err)
		}
		for _, ref := range s.References {
			names = append(names, ref.Name)
		}
	}
	return repositories(names)
}

func repositories(names []string) ([]string, error) {
	out := make([]string, len(names))
	for i, name := range names {
		named, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			return nil, fmt.Errorf("reference %q: %w", name, err)
		}
		out[i] = named.Name()
	}
	return out, nil
}

// mirrored returns the mirrors of the files and of the cluster.
func (o *Sources) mirrored(ctx context.Context, in Inputs) ([]nodeconfig.MirroredSource, error) {
	var m mirrorReader
	for _, path := range o.Mirrors {
		r, err := in.Open(path)
		if err != nil {
			return nil, err
		}
		if err := errors.Join(kubeobject.Read(r, m.add), r.Close()); err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
	}
	if in.Cluster != nil {
		client, err := in.Cluster()
		if err != nil {
			return nil, err
		}
		if err := m.walk(ctx, client); err != nil {
			return nil, err
		}
	}
	// A cluster's objects come in any order, and the files must be the same each time.
	slices.SortStableFunc(m.found, func(x, y nodeconfig.MirroredSource) int { return strings.Compare(x.Object, y.Object) })
	return m.found, nil
}

// mirrorReader collects the mirrors of mirror sets, and passes by other objects.
type mirrorReader struct{ found []nodeconfig.MirroredSource }

func (m *mirrorReader) walk(ctx context.Context, cluster Walker) error {
	var failed error
	var mu sync.Mutex
	problems, err := cluster.Walk(ctx, func(obj kubeobject.Object) {
		mu.Lock()
		defer mu.Unlock()
		failed = errors.Join(failed, m.add(obj))
	})
	if err != nil {
		return err
	}
	for _, p := range problems {
		if _, mirrors := pullsOf(p.From.Kind); mirrors {
			failed = errors.Join(failed, p)
		}
	}
	return failed
}

func (m *mirrorReader) add(o kubeobject.Object) error {
	pulls, ok := pullsOf(o.Kind)
	if !ok {
		return nil
	}
	facts, err := objects.Extract(o)
	if err != nil {
		return err
	}
	for _, f := range facts.Mirrors {
		m.found = append(m.found, nodeconfig.MirroredSource{
			Source: f.Source, Mirrors: f.Mirrors, Pulls: pulls, NeverSource: f.NeverSource, Object: f.Kind + " " + f.Object,
		})
	}
	return nil
}

// pullsOf returns for which pulls the mirrors of a kind of object are; false for
// other kinds.
func pullsOf(kind string) (pulls nodeconfig.Pulls, ok bool) {
	switch kind {
	case "ImageDigestMirrorSet", "ImageContentPolicy", "ImageContentSourcePolicy":
		return nodeconfig.DigestPulls, true
	case "ImageTagMirrorSet":
		return nodeconfig.TagPulls, true
	}
	return "", false
}
