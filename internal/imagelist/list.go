// Package imagelist holds the list of images that a cluster needs, each with
// where it was found. The packages below it make such lists.
package imagelist

import (
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
)

// Entry is one reference of a list.
type Entry struct {
	// Ref is the reference as found, normalised to host/repository[:tag][@digest];
	// once it is resolved, host/repository@digest.
	Ref string `json:"ref"`
	// Names are further references that mean this image (the tags that were
	// resolved to it), sorted.
	Names []string `json:"names,omitempty"`
	// Digest is that of the manifest, or manifest list, that Ref names; "" until
	// the reference is resolved.
	Digest digest.Digest `json:"digest,omitempty"`
	// Platforms are the instances to keep where Ref names a list, as os/arch;
	// none means that nothing said which.
	Platforms []string `json:"platforms,omitempty"`
	// Role says what the cluster uses the image for, as bundle.RoleOS; "" for a container.
	Role string `json:"role,omitempty"`
	// From is where it was found, without duplicates, in the order found.
	From []bundle.Origin `json:"from,omitempty"`
}

// List is a set of references. The zero value is empty and ready for use. It is
// not safe for concurrent use.
type List struct {
	entries map[string]*item
}

// item is an entry with what finds its duplicates.
type item struct {
	Entry
	origins map[bundle.Origin]struct{}
}

// Add puts ref into the list, or adds the origin to the one that is there.
// ref must be normalised (Normalize).
func (l *List) Add(ref string, from bundle.Origin) {
	l.Put(Entry{Ref: ref, From: []bundle.Origin{from}})
}

// Put adds an entry, or adds its names, platforms, role and origins to the entry of
// the same Ref. Where e has no digest, that of Ref is taken. The list keeps
// nothing of e's slices.
func (l *List) Put(e Entry) {
	if l.entries == nil {
		l.entries = make(map[string]*item)
	}
	it, ok := l.entries[e.Ref]
	if !ok {
		it = &item{Entry: Entry{Ref: e.Ref}, origins: make(map[bundle.Origin]struct{})}
		l.entries[e.Ref] = it
	}
	if it.Digest == "" {
		it.Digest = e.Digest
	}
	if it.Digest == "" {
		_, it.Digest = Split(e.Ref)
	}
	if it.Role == "" {
		it.Role = e.Role
	}
	it.Names = union(it.Names, e.Names)
	it.Platforms = union(it.Platforms, e.Platforms)
	for _, o := range e.From {
		if _, ok := it.origins[o]; !ok {
			it.origins[o] = struct{}{}
			it.From = append(it.From, o)
		}
	}
}

// Resolve says that ref means digest d: the entry of ref becomes
// host/repository@d, with ref among its names. It does nothing where the list
// has no ref.
func (l *List) Resolve(ref string, d digest.Digest) {
	it, ok := l.entries[ref]
	if !ok {
		return
	}
	name, _ := Split(ref)
	e := it.Entry
	e.Ref, e.Digest = Repository(name)+"@"+d.String(), d
	if e.Ref != ref {
		e.Names = union(e.Names, []string{ref})
		delete(l.entries, ref)
	}
	l.Put(e)
}

// SetPlatforms replaces the platforms of every entry.
func (l *List) SetPlatforms(platforms []string) {
	for _, it := range l.entries {
		it.Platforms = slices.Clone(platforms)
	}
}

// Merge adds all entries of other.
func (l *List) Merge(other *List) {
	for _, e := range other.Entries() {
		l.Put(e)
	}
}

// Len is the number of references.
func (l *List) Len() int { return len(l.entries) }

// Entries returns the references sorted by Ref.
func (l *List) Entries() []Entry {
	out := make([]Entry, 0, len(l.entries))
	for _, it := range l.entries {
		out = append(out, it.Entry)
	}
	slices.SortFunc(out, func(a, b Entry) int { return strings.Compare(a.Ref, b.Ref) })
	return out
}

// Split divides ref at its digest, which is "" where ref has none.
func Split(ref string) (name string, d digest.Digest) {
	name, after, _ := strings.Cut(ref, "@")
	return name, digest.Digest(after)
}

// Repository is name, a reference without a digest, without its tag.
func Repository(name string) string {
	if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "/") {
		return name[:i]
	}
	return name
}

// union returns a and b together, sorted, without duplicates.
func union(a, b []string) []string {
	if len(b) == 0 {
		return a
	}
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
