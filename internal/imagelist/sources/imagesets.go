package sources

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/imagelist/catalog"
	"github.com/nodeseal/nodeseal/internal/imagelist/imageset"
	"github.com/nodeseal/nodeseal/internal/imagelist/nodestore"
	"github.com/nodeseal/nodeseal/internal/imagelist/release"
	"github.com/nodeseal/nodeseal/internal/progress"
)

// catalogPhase is the phase in which catalogs are read.
const catalogPhase = "read catalogs"

// namedSet is an ImageSetConfiguration with the name of its file.
type namedSet struct {
	*imageset.Set
	name string
}

func (g *gatherer) imageSetFile(f File) (err error) {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	set, err := imageset.Parse(r)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	for _, note := range set.Notes {
		g.Progress.Warn(f.Name + ": " + note)
	}
	for _, open := range set.Open {
		g.problem(fmt.Errorf("%s: %w", f.Name, open))
	}
	g.res.Architectures = append(g.res.Architectures, set.Architectures...)
	g.sets = append(g.sets, namedSet{set, f.Name})
	return nil
}

// imageSets puts what the configurations ask for into the list, but what they block. What cannot be read is a problem.
func (g *gatherer) imageSets(ctx context.Context) error {
	src := &nodestore.Source{Stores: g.Stores, Registry: g.res.Registry}
	for _, s := range g.sets {
		list, narrow := new(imagelist.List), new(imagelist.List) // narrow: of images that say which platforms they want
		if err := g.setReleases(ctx, src, s, list); err != nil {
			return err
		}
		for _, i := range s.Images {
			e, err := imagelist.NewEntry(strings.TrimPrefix(i.Name, "docker://"), bundle.Origin{Source: "file", Name: s.name + " additionalImages"})
			if err != nil {
				g.problem(fmt.Errorf("%s: additionalImages: %w", s.name, err))
				continue
			}
			if e.Platforms = i.Platforms; len(e.Platforms) > 0 {
				narrow.Put(e)
				continue
			}
			list.Put(e)
		}
		for _, c := range s.Charts {
			g.problem(fmt.Errorf("%s: helm chart %s (%s) is left out: list its images with helm template %s | nodeseal list --images -", s.name, c.Name, c.Path, c.Path))
		}
		if err := g.setOperators(ctx, src, s, list); err != nil {
			return err
		}
		if err := g.unblocked(ctx, s, list, narrow); err != nil {
			return err
		}
		if err := g.res.List.Check(); err != nil {
			return fmt.Errorf("%s, with what was read before: %w", s.name, err)
		}
	}
	return nil
}

// unblocked puts what a file asks for into the list, but what it blocks: the images of list for the file's architectures,
// those of narrow for their own, and for both what is in both.
func (g *gatherer) unblocked(ctx context.Context, s namedSet, list, narrow *imagelist.List) error {
	blocked := make(map[string]bool)
	put := func(e imagelist.Entry) {
		if s.Blocked(append(slices.Clone(e.Names), e.Ref)...) {
			blocked[e.Ref] = true
			return
		}
		g.res.List.Put(e)
	}
	everywhere := make(map[string]bool)
	for _, e := range list.Entries() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		everywhere[e.Ref] = true
		for _, arch := range s.Architectures {
			e.Platforms = append(e.Platforms, "linux/"+arch)
		}
		put(e)
	}
	for _, e := range narrow.Entries() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if everywhere[e.Ref] && len(s.Architectures) == 0 {
			e.Platforms = append(slices.Clone(e.Platforms), "linux/amd64") // as oc-mirror, where nothing is said
		}
		put(e)
	}
	if len(blocked) > 0 {
		const most = 20
		names := slices.Sorted(maps.Keys(blocked))
		more := ""
		if len(names) > most {
			more = fmt.Sprintf(" and %d more", len(names)-most)
		}
		g.Progress.Warn(fmt.Sprintf("%s: blockedImages leaves out %d that it asks for: %s%s", s.name, len(names), strings.Join(names[:min(len(names), most)], ", "), more))
	}
	return nil
}

// setReleases reads the payloads of the releases, each for its architecture.
func (g *gatherer) setReleases(ctx context.Context, src release.Source, s namedSet, list *imagelist.List) error {
	for _, r := range s.Releases {
		p, err := release.Fetch(ctx, src, r.Ref, "linux/"+cmp.Or(r.Arch, "amd64"))
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil && r.Version != "" && p.Version != r.Version:
			err = fmt.Errorf("%s is version %s", r.Ref, p.Version)
			fallthrough
		case err != nil:
			g.problem(&ReleaseError{Ref: r.Ref, Err: err})
			continue
		}
		boot := s.Architectures
		if r.Arch != "" {
			boot = []string{r.Arch}
		}
		p.AddTo(list, boot)
		if g.res.Release == nil || len(g.Releases) == 0 && len(g.payloads) == 0 && !catalog.Later(g.res.Release.Version, p.Version) {
			rel := p.Release()
			g.res.Release = &rel
		}
	}
	return nil
}

// setOperators reads catalogs, and puts those and the images of their bundles that are wanted into the list.
func (g *gatherer) setOperators(ctx context.Context, src catalog.Source, s namedSet, list *imagelist.List) error {
	if len(s.Operators) == 0 {
		return nil
	}
	g.Progress.Begin(catalogPhase, int64(len(s.Operators)), progress.Count)
	defer g.Progress.End(catalogPhase)
	arch := "amd64"
	if len(s.Architectures) > 0 && !slices.Contains(s.Architectures, arch) {
		arch = s.Architectures[0]
	}
	for _, o := range s.Operators {
		g.Progress.Working(catalogPhase, o.Catalog)
		e, err := imagelist.NewEntry(strings.TrimPrefix(o.Catalog, "docker://"), bundle.Origin{Source: "file", Name: s.name + " catalog"})
		if err != nil {
			g.problem(fmt.Errorf("%s: catalog %s: %w", s.name, o.Catalog, err))
			continue
		}
		list.Put(e)
		c, err := catalog.Fetch(ctx, src, e.Ref, "linux/"+arch, o.Want.Wants)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			g.problem(fmt.Errorf("%s: the catalog %s could not be read, its operators are not in the list: %w", s.name, e.Ref, err))
			continue
		}
		bundles, problems := c.Select(o.Want)
		for _, p := range problems {
			g.problem(fmt.Errorf("%s: catalog %s: %w", s.name, e.Ref, p))
		}
		g.bundles(s, bundles, list)
		g.Progress.Add(catalogPhase, 1)
	}
	return nil
}

func (g *gatherer) bundles(s namedSet, bundles []catalog.Bundle, list *imagelist.List) {
	for _, b := range bundles {
		from := bundle.Origin{Source: "file", Name: s.name + " operator " + b.Package + ", " + b.Name}
		for _, image := range b.Images {
			e, err := imagelist.NewEntry(image, from)
			if err != nil {
				g.problem(fmt.Errorf("%s: operator %s: bundle %s: %w", s.name, b.Package, b.Name, err))
				continue
			}
			list.Put(e)
		}
	}
}
