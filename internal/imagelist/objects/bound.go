package objects

import (
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
)

// maxKept bounds what a Collector keeps, in bytes, about: some 100,000 places where an image is
// named. The largest clusters have some 20,000 pods.
const maxKept = 56 << 20

const (
	// foundSize is what a Found takes here and in a Result, nameSize what a reference takes besides
	// its text, wordSize what any other text that is kept once does.
	foundSize = 400
	nameSize  = 300
	wordSize  = 80
)

// full reports whether nothing more is kept. The first that is left out is a problem, so that the
// list is known to be incomplete. The caller holds the lock.
func (c *Collector) full(from bundle.Origin) bool {
	if c.kept < maxKept {
		return false
	}
	if !c.passed {
		c.passed = true
		c.problems = append(c.problems, Problem{from, fmt.Errorf(
			"all objects together name images at too many places, as %d MiB of memory are used for them: this one and others are not looked at; divide the objects", maxKept>>20)})
	}
	return true
}

// problem keeps a problem. The caller holds the lock.
func (c *Collector) problem(from bundle.Origin, err error) {
	c.kept += foundSize + len(err.Error())
	c.problems = append(c.problems, Problem{from, err})
}

// vote counts a digest of a reference. The caller holds the lock.
func (c *Collector) vote(v *votes, ref string, d digest.Digest) {
	if (*v)[ref][d] == 0 {
		c.kept += nameSize + len(ref)
	}
	v.add(ref, d)
}

// facts keeps what f says besides images. The caller holds the lock.
func (c *Collector) facts(f *Facts) {
	for _, k := range f.Known {
		if ref, err := imagelist.Normalize(k.Ref); err == nil {
			c.vote(&c.known, ref, k.Digest)
		}
	}
	for _, r := range f.Releases {
		if !slices.Contains(c.releases, r) {
			c.releases = append(c.releases, r)
		}
	}
	for _, name := range f.Configs {
		if c.configs == nil {
			c.configs = make(map[string]bool)
		}
		if !c.configs[name] {
			c.kept += wordSize + len(name)
			c.configs[name] = true
		}
	}
	for _, arch := range f.Architectures {
		if !slices.Contains(c.archs, arch) {
			c.archs = append(c.archs, arch)
		}
	}
	c.mirrors = append(c.mirrors, f.Mirrors...)
	c.sigs = append(c.sigs, f.Signatures...)
	for _, m := range f.Mirrors {
		c.kept += foundSize + wordSize*len(m.Mirrors)
	}
	for _, s := range f.Signatures {
		c.kept += foundSize + len(s.Data)
	}
}
