package imagelist

import (
	"hash/maphash"
	"slices"
)

// few is how many values a set compares one by one before it keeps an index of them.
const few = 8

// set is a set of values in the order in which they were added. The zero value is
// empty. Most entries of a list have one or two values of each kind, and an index of
// those would take more memory than they do; of one that has a hundred thousand, each is
// still found at once.
type set[T comparable] struct {
	values []T
	index  *index // nil while there are few
}

// index has the hashes of values: two of the same hash of 64 bits are one for it.
type index struct {
	seed   maphash.Seed
	hashes map[uint64]struct{}
}

// add adds those of values that are not there.
func (s *set[T]) add(values ...T) {
	for _, v := range values {
		if s.has(v) {
			continue
		}
		s.values = append(s.values, v)
		switch {
		case s.index != nil:
			s.index.hashes[maphash.Comparable(s.index.seed, v)] = struct{}{}
		case len(s.values) > few:
			s.index = &index{maphash.MakeSeed(), make(map[uint64]struct{}, 2*few)}
			for _, v := range s.values {
				s.index.hashes[maphash.Comparable(s.index.seed, v)] = struct{}{}
			}
		}
	}
}

func (s *set[T]) has(v T) bool {
	if s.index == nil {
		return slices.Contains(s.values, v)
	}
	_, ok := s.index.hashes[maphash.Comparable(s.index.seed, v)]
	return ok
}

// words is a set of strings that is read sorted.
type words struct {
	set[string]
	unsorted bool
}

func (w *words) add(values ...string) {
	n := len(w.values)
	w.set.add(values...)
	w.unsorted = w.unsorted || len(w.values) > n
}

// sorted returns the strings, sorted. What it returns stays as it is.
func (w *words) sorted() []string {
	if w.unsorted {
		w.values = slices.Sorted(slices.Values(w.values)) // not in place: another may hold the old slice
		w.unsorted = false
	}
	return slices.Clip(w.values)
}
