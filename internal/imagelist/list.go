// Package imagelist holds the list of images that a cluster needs, each with
// where it was found. The packages below it make such lists.
package imagelist

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
)

const (
	// MaxImages bounds the references of a list. A release with all operators has some 10,000.
	MaxImages = 100_000
	// MaxOrigins bounds the places where the references of a list were found, all together.
	MaxOrigins = 500_000
)

// ErrTooMany is wrapped by the error about a list of more than is held in memory.
var ErrTooMany = errors.New("list is too long: divide it, and make a bundle of each part")

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
	origins int // of all entries
}

// item is an entry in the making.
type item struct {
	ref              string
	digest           digest.Digest
	role             string
	names, platforms words
	from             set[bundle.Origin]
}

// entry returns the item as an entry; its slices stay as they are.
func (it *item) entry() Entry {
	return Entry{
		Ref: it.ref, Names: it.names.sorted(), Digest: it.digest, Platforms: it.platforms.sorted(), Role: it.role,
		From: slices.Clip(it.from.values),
	}
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
		it = &item{ref: e.Ref}
		l.entries[e.Ref] = it
	}
	if it.digest == "" {
		it.digest = e.Digest
	}
	if it.digest == "" {
		_, it.digest = Split(e.Ref)
	}
	if it.role == "" {
		it.role = e.Role
	}
	it.names.add(e.Names...)
	it.platforms.add(e.Platforms...)
	l.origins -= len(it.from.values)
	it.from.add(e.From...)
	l.origins += len(it.from.values)
}

// remove removes the entry of ref, which is there.
func (l *List) remove(ref string) {
	l.origins -= len(l.entries[ref].from.values)
	delete(l.entries, ref)
}

// Check returns an error that wraps ErrTooMany if the list has more than MaxImages references, or more than
// MaxOrigins places where they were found.
func (l *List) Check() error {
	switch {
	case len(l.entries) > MaxImages:
		return fmt.Errorf("%w: more than %d images", ErrTooMany, MaxImages)
	case l.origins > MaxOrigins:
		return fmt.Errorf("%w: its images were found at more than %d places", ErrTooMany, MaxOrigins)
	}
	return nil
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
	e := it.entry()
	e.Ref, e.Digest = Repository(name)+"@"+d.String(), d
	if e.Ref != ref {
		e.Names = append(e.Names, ref) // of a clipped slice
		l.remove(ref)
	}
	l.Put(e)
}

// SetPlatforms replaces the platforms of every entry, in this order.
func (l *List) SetPlatforms(platforms []string) {
	for _, it := range l.entries {
		it.platforms = words{set: set[string]{values: slices.Clone(platforms)}}
	}
}

// Merge adds all entries of other. What is put into l later may show in other, too.
func (l *List) Merge(other *List) {
	if l.entries == nil {
		l.entries = make(map[string]*item, len(other.entries))
	}
	for ref, it := range other.entries {
		if l.entries[ref] == nil {
			l.entries[ref] = it
			l.origins += len(it.from.values)
			continue
		}
		l.Put(it.entry())
	}
}

// Len is the number of references.
func (l *List) Len() int { return len(l.entries) }

// Entries returns the references sorted by Ref.
func (l *List) Entries() []Entry {
	out := make([]Entry, 0, len(l.entries))
	for _, it := range l.entries {
		out = append(out, it.entry())
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
