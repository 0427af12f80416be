// Package imagelist holds the list of images that a cluster needs, each with
// where it was found. The packages below it make such lists.
package imagelist

import (
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/bundle"
)

// Entry is one reference of a list.
type Entry struct {
	// Ref is the reference as found, normalised to host/repository[:tag][@digest].
	Ref string
	// From is where it was found, without duplicates, in the order found.
	From []bundle.Origin
}

// List is a set of references. The zero value is empty and ready for use. It is
// not safe for concurrent use.
type List struct {
	entries map[string]*Entry
}

// Add puts ref into the list, or adds the origin to the one that is there.
// ref must be normalised (Normalize).
func (l *List) Add(ref string, from bundle.Origin) {
	if l.entries == nil {
		l.entries = make(map[string]*Entry)
	}
	e, ok := l.entries[ref]
	if !ok {
		e = &Entry{Ref: ref}
		l.entries[ref] = e
	}
	if !slices.Contains(e.From, from) {
		e.From = append(e.From, from)
	}
}

// Len is the number of references.
func (l *List) Len() int { return len(l.entries) }

// Entries returns the references sorted by Ref.
func (l *List) Entries() []Entry {
	out := make([]Entry, 0, len(l.entries))
	for _, e := range l.entries {
		out = append(out, *e)
	}
	slices.SortFunc(out, func(a, b Entry) int { return strings.Compare(a.Ref, b.Ref) })
	return out
}
