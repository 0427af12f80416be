package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/imagelist/imagefile"
	"github.com/nodeseal/nodeseal/internal/imagelist/nodestore"
	"github.com/nodeseal/nodeseal/internal/imagelist/sources"
	"github.com/nodeseal/nodeseal/internal/pull/mirrors"
	"github.com/nodeseal/nodeseal/internal/visible"
	"github.com/nodeseal/nodeseal/internal/whatis"
)

// listOptions say where the references come from: any of the sources together.
type listOptions struct {
	images       []string
	cluster      clusterOptions
	releases     []string
	releaseFiles []string
	stores       []string
	layouts      []string
	imageSets    []string
	mirrors      []string
	include      []string
	exclude      []string
	// signatures is the flag of commands that carry release signatures.
	signatures []sources.File
}

func (o *listOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringArrayVar(&o.images, "images", nil, "`LIST` of references, one a line, or what oc get -o json|yaml or nodeseal list --json printed; - is standard input; may be repeated")
	o.cluster.addFlags(flags)
	flags.StringArrayVar(&o.releases, "release", nil, "a release `IMAGE`: it and all of its payload; may be repeated")
	flags.StringArrayVar(&o.releaseFiles, "release-file", nil, "an image-references `FILE` taken out of a release image; may be repeated")
	flags.StringArrayVar(&o.stores, "store", nil, "containers-storage `DIR` of a node (/var/lib/containers/storage): all images in it, and their bytes; may be repeated")
	flags.StringArrayVar(&o.layouts, "from-layout", nil, "images in a file, and their bytes: an OCI layout `DIR`, oci-archive:FILE, docker-archive:FILE, or what oc-mirror wrote; may be repeated")
	flags.StringArrayVar(&o.imageSets, "imageset", nil, "what an ImageSetConfiguration of oc-mirror in a `FILE` asks for; may be repeated")
	flags.StringArrayVar(&o.mirrors, "mirrors", nil, "`FILE` with ImageDigestMirrorSets, ImageTagMirrorSets, ImageContentSourcePolicies: where the bytes are; may be repeated")
	flags.StringArrayVar(&o.include, "include", nil, "keep only references that match a `PATTERN` (* stands for anything); may be repeated")
	flags.StringArrayVar(&o.exclude, "exclude", nil, "drop references that match a `PATTERN`; may be repeated")
}

// given reports whether any source was named.
func (o *listOptions) given() bool {
	return len(o.images)+len(o.releases)+len(o.releaseFiles)+len(o.stores)+len(o.layouts)+len(o.imageSets) > 0 || o.cluster.use
}

// gather reads all sources. resolve also asks the registry for the digests of tags.
func (o *listOptions) gather(ctx context.Context, a *app, registry *registryOptions, resolve bool) (*sources.Result, []*nodestore.Store, error) {
	if !o.given() {
		return nil, nil, usageError{errors.New("no source of images: name one with --images, --cluster, --release, --release-file, --store, --from-layout or --imageset")}
	}
	filter, err := imagelist.NewFilter(o.include, o.exclude)
	if err != nil {
		return nil, nil, usageError{err}
	}
	s := sources.Sources{
		Files: a.files(o.images), ReleaseFiles: a.files(o.releaseFiles), MirrorFiles: a.files(o.mirrors), SignatureFiles: o.signatures,
		ImageSets: a.files(o.imageSets),
		Releases:  o.releases, Filter: filter, Resolve: resolve, Progress: a.progress(),
	}
	for _, spec := range o.layouts {
		f, err := imagefile.Open(ctx, spec)
		if err != nil {
			return nil, nil, err
		}
		s.ImageFiles = append(s.ImageFiles, f)
	}
	s.Connect = func(rules []mirrors.Rule) (sources.Registry, error) {
		client, err := registry.client(a, rules...)
		if err != nil || len(s.ImageFiles) == 0 {
			return client, err
		}
		return &imagefile.Source{Files: s.ImageFiles, Registry: client}, nil
	}
	for _, dir := range o.stores {
		store, err := nodestore.Open(dir)
		if err != nil {
			return nil, nil, err
		}
		s.Stores = append(s.Stores, store)
	}
	if o.cluster.use {
		client, err := o.cluster.client(a)
		if err != nil {
			return nil, nil, err
		}
		s.Cluster = client
	}
	res, err := s.Gather(ctx)
	switch {
	case err != nil:
		return nil, nil, err
	case res.List.Len() == 0 && slices.ContainsFunc(s.ImageFiles, (*imagefile.File).NamesNone):
		return nil, nil, usageError{errors.New("the list of images is empty: what a registry or oc-mirror stored does not say of which registries its images are: name them with --imageset or --images")}
	case res.List.Len() == 0 && len(res.Problems) == 0:
		return nil, nil, fmt.Errorf("the list of images is empty")
	}
	return res, s.Stores, nil
}

// openList opens a file with a list or objects, as openInput does. The error is a
// *whatis.Error if it is something else.
func (a *app) openList(path string) (io.ReadCloser, error) {
	r, err := a.openInput(path)
	if f, ok := r.(*os.File); ok && err == nil {
		if err := whatis.NoList(f); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return r, err
}

// files are the files that flags name.
func (a *app) files(paths []string) []sources.File {
	files := make([]sources.File, 0, len(paths))
	for _, path := range paths {
		files = append(files, sources.File{Name: path, Open: func() (io.ReadCloser, error) { return a.openList(path) }})
	}
	return files
}

// readLists returns the references of list files of any form.
func readLists(a *app, paths []string) (*imagelist.List, error) {
	return sources.ReadLists(a.files(paths))
}

// problems prints what a list may lack.
func (a *app) problems(found []error) {
	for _, p := range found {
		fmt.Fprintf(a.stderr, "nodeseal: %s\n", visible.Lines(p.Error()))
	}
}
