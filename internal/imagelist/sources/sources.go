// Package sources joins everything that can name images into one list: files,
// a cluster, releases, node stores.
package sources

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/imagelist/imagefile"
	"github.com/nodeseal/nodeseal/internal/imagelist/nodestore"
	"github.com/nodeseal/nodeseal/internal/imagelist/objects"
	"github.com/nodeseal/nodeseal/internal/imagelist/release"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/pull/mirrors"
)

// Registry resolves references and reads release images; *pull.Client is one.
type Registry interface {
	nodestore.Registry
	// Head resolves ref to a digest.
	Head(ctx context.Context, ref string) (v1.Descriptor, error)
}

// Walker reads a cluster; *cluster.Client is one.
type Walker interface {
	Walk(ctx context.Context, each func(kubeobject.Object)) ([]objects.Problem, error)
}

// File is a file to read.
type File struct {
	// Name is what it is called in origins and errors.
	Name string
	Open func() (io.ReadCloser, error)
}

// Sources are where to look. The zero value has nothing.
type Sources struct {
	// Files are lists in any form: see ReadFile.
	Files []File
	// Cluster is nil for none.
	Cluster Walker
	// Releases are references of release images, ReleaseFiles extracted
	// image-references.
	Releases     []string
	ReleaseFiles []File
	Stores       []*nodestore.Store
	// ImageSets hold oc-mirror's ImageSetConfigurations.
	ImageSets []File
	// ImageFiles are layouts and archives with images; Connect gives their bytes.
	ImageFiles []*imagefile.File
	// MirrorFiles hold mirror objects as YAML or JSON.
	MirrorFiles []File
	// SignatureFiles hold release signatures: see signatureFile.
	SignatureFiles []File
	Filter         imagelist.Filter
	// Architecture is whose instance of a release image is read where no node
	// says one; "" is amd64.
	Architecture string
	// Skip, where set, says of which objects nothing is taken.
	Skip func(kubeobject.Object) bool
	// Connect makes the registry client, with the mirrors that were found; nil
	// asks no registry.
	Connect func(rules []mirrors.Rule) (Registry, error)
	// Resolve asks the registry for the digest of each reference by tag. It needs
	// Connect.
	Resolve bool
	// Progress gets the phases "cluster" and "resolve".
	Progress progress.Func
}

// Result is what the sources say together.
type Result struct {
	imagelist.Document
	List *imagelist.List
	// Problems are what could not be read or resolved; each may be an image that
	// the list lacks.
	Problems []error
	// Registry is what Connect made, nil without it.
	Registry Registry
}

// Gather reads all sources. Files that cannot be read, and a cluster that
// cannot be reached, end it with an error (files: with all of their errors,
// joined); single objects, releases and references that cannot be read or
// resolved are problems.
func (s Sources) Gather(ctx context.Context) (*Result, error) {
	g := &gatherer{Sources: s, res: &Result{List: new(imagelist.List)}}
	if err := g.files(); err != nil {
		return nil, err
	}
	if s.Cluster != nil {
		problems, err := s.Cluster.Walk(ctx, g.add)
		if err != nil {
			return nil, fmt.Errorf("reading the cluster: %w", err)
		}
		for _, p := range problems {
			g.collector.Report(p)
		}
	}
	g.objects()
	g.stores()
	if s.Connect != nil {
		registry, err := s.Connect(Rules(g.res.Mirrors))
		if err != nil {
			return nil, err
		}
		g.res.Registry = registry
	}
	if err := g.releases(ctx); err != nil {
		return nil, err
	}
	if err := g.imageSets(ctx); err != nil {
		return nil, err
	}
	for _, pattern := range s.Filter.Unmatched(g.res.List.Entries()) {
		g.Progress.Warn(fmt.Sprintf("no image matches %s, which the list was to be filtered by", pattern))
	}
	s.Filter.Apply(g.res.List)
	if s.Resolve {
		if err := g.resolve(ctx); err != nil {
			return nil, err
		}
	}
	g.finish()
	return g.res, nil
}

// gatherer is the state of one Gather.
type gatherer struct {
	Sources
	res       *Result
	collector objects.Collector
	// payloads are the releases that the cluster needs.
	payloads []bundle.Release
	sets     []namedSet
}

// add takes what an object says.
func (g *gatherer) add(o kubeobject.Object) {
	if g.Skip == nil || !g.Skip(o) {
		g.collector.Add(o)
	}
}

func (g *gatherer) problem(err error) { g.res.Problems = append(g.res.Problems, err) }

// files reads all files, and returns the errors of all.
func (g *gatherer) files() error {
	var failed error
	for _, f := range g.Files {
		doc, list, err := ReadFile(f, g.add)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		if list != nil {
			g.res.List.Merge(list)
		}
		if err := g.res.List.Check(); err != nil {
			return errors.Join(failed, fmt.Errorf("%s, with what was read before: %w", f.Name, err))
		}
		if doc != nil {
			g.document(doc)
		}
	}
	for _, f := range g.MirrorFiles {
		if err := readObjects(f, g.add); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	for _, f := range g.SignatureFiles {
		if err := g.signatureFile(f); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	for _, f := range g.ReleaseFiles {
		if err := g.releaseFile(f); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	for _, f := range g.ImageSets {
		if err := g.imageSetFile(f); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// document takes what an earlier list says besides its images.
func (g *gatherer) document(d *imagelist.Document) {
	if g.res.Release == nil {
		g.res.Release = d.Release
	}
	g.res.Architectures = append(g.res.Architectures, d.Architectures...)
	g.res.Mirrors = append(g.res.Mirrors, d.Mirrors...)
	g.res.Signatures = append(g.res.Signatures, d.Signatures...)
	for _, p := range d.Problems {
		g.problem(errors.New(p))
	}
}

func (g *gatherer) releaseFile(f File) error {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	refs, err := release.ParseReferences(r)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	p := release.Payload{Version: refs.Version, Components: refs.Components}
	g.payload(&p)
	return nil
}

func (g *gatherer) payload(p *release.Payload) {
	p.AddTo(g.res.List, g.res.Architectures)
	if g.res.Release == nil {
		rel := p.Release()
		g.res.Release = &rel
	}
}

// objects takes the result of all objects, of files and of the cluster.
func (g *gatherer) objects() {
	r := g.collector.Result()
	g.res.List.Merge(r.List)
	g.res.Architectures = append(g.res.Architectures, r.Architectures...)
	g.res.Mirrors = append(g.res.Mirrors, r.Mirrors...)
	g.res.Signatures = append(g.res.Signatures, r.Signatures...)
	for _, p := range r.Problems {
		g.problem(p)
	}
	slices.Sort(g.res.Architectures)
	g.res.Architectures = slices.Compact(g.res.Architectures)
	g.payloads = r.Releases
	if len(r.Releases) > 0 {
		g.res.Release = &r.Releases[0]
	}
}

func (g *gatherer) stores() {
	for _, s := range g.Stores {
		list, problems := s.List()
		g.res.List.Merge(list)
		g.res.Signatures = append(g.res.Signatures, s.Signatures()...)
		for _, p := range problems {
			g.problem(fmt.Errorf("%s: %w", s.Dir, p))
		}
	}
	named := make(map[string]imagelist.Entry)
	for _, f := range g.ImageFiles {
		list, problems := f.List()
		g.res.List.Merge(list)
		g.res.Problems = append(g.res.Problems, problems...)
		for _, e := range list.Entries() {
			g.named(named, e)
		}
	}
}

// named wants a name to mean one image in all files: on a node it can mean one only.
func (g *gatherer) named(all map[string]imagelist.Entry, e imagelist.Entry) {
	for _, name := range e.Names {
		old, ok := all[name]
		if ok && old.Digest != e.Digest {
			g.problem(fmt.Errorf("%s is %s in %s and %s in %s: give one of them another name", name, old.Digest, old.From[0].Name, e.Digest, e.From[0].Name))
		}
		all[name] = e
	}
}

// releases reads the payloads of the releases that were asked for and of those
// that the cluster needs. A payload that cannot be read is a problem.
func (g *gatherer) releases(ctx context.Context) error {
	arch := g.Architecture
	if len(g.res.Architectures) > 0 {
		arch = g.res.Architectures[0]
	}
	if arch == "" {
		arch = "amd64"
	}
	wanted := slices.Clone(g.Releases)
	for _, r := range g.payloads {
		wanted = append(wanted, r.Image)
	}
	src := &nodestore.Source{Stores: g.Stores, Registry: g.res.Registry}
	seen := make(map[string]bool)
	for i, ref := range wanted {
		if seen[ref] {
			continue
		}
		seen[ref] = true
		p, err := release.Fetch(ctx, src, ref, "linux/"+arch)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			g.problem(&ReleaseError{Ref: ref, Err: err})
		default:
			g.payload(p)
			if i == 0 && len(g.Releases) > 0 { // what was asked for by name comes first
				rel := p.Release()
				g.res.Release = &rel
			}
		}
	}
	return nil
}

// ReleaseError says that a payload is not in the list.
type ReleaseError struct {
	Ref string
	Err error
}

// Error says which release.
func (e *ReleaseError) Error() string {
	return "the payload of release " + e.Ref + " could not be read: " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *ReleaseError) Unwrap() error { return e.Err }

// finish sorts what the result has, without duplicates.
func (g *gatherer) finish() {
	r := g.res
	r.Images = r.List.Entries()
	key := func(m imagelist.Mirror) string {
		return strings.Join([]string{m.Source, m.Kind, m.Object, strings.Join(m.Mirrors, ",")}, "\n")
	}
	slices.SortStableFunc(r.Mirrors, func(a, b imagelist.Mirror) int { return strings.Compare(key(a), key(b)) })
	r.Mirrors = slices.CompactFunc(r.Mirrors, func(a, b imagelist.Mirror) bool { return key(a) == key(b) })
	// ConfigMaps of different origin may give one key to different signatures.
	slices.SortFunc(r.Signatures, compareSignatures)
	r.Signatures = slices.CompactFunc(r.Signatures, func(a, b imagelist.Signature) bool { return compareSignatures(a, b) == 0 })
	for _, p := range r.Problems {
		var open *ResolveError
		if errors.As(p, &open) {
			r.Unresolved = append(r.Unresolved, imagelist.Unresolved{Ref: open.Entry.Ref, Error: open.Err.Error(), From: open.Entry.From})
			continue
		}
		r.Document.Problems = append(r.Document.Problems, p.Error())
	}
}

func compareSignatures(a, b imagelist.Signature) int {
	return cmp.Or(strings.Compare(a.Key, b.Key), bytes.Compare(a.Data, b.Data))
}

// Rules are mirrors in the registry client's words.
func Rules(found []imagelist.Mirror) []mirrors.Rule {
	rules := make([]mirrors.Rule, 0, len(found))
	for _, m := range found {
		use := mirrors.All
		switch m.Kind {
		case "ImageDigestMirrorSet", "ImageContentSourcePolicy":
			use = mirrors.Digests
		case "ImageTagMirrorSet":
			use = mirrors.Tags
		}
		rules = append(rules, mirrors.Rule{Source: m.Source, Mirrors: m.Mirrors, Use: use, Exclusive: m.NeverSource})
	}
	return rules
}
