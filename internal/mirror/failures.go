package mirror

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
)

// failures collects the images that failed. It is safe for concurrent use.
type failures struct {
	mu   sync.Mutex
	list map[string]*ImageError
}

func (f *failures) add(ref string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.list == nil {
		f.list = make(map[string]*ImageError)
	}
	if f.list[ref] == nil {
		f.list[ref] = &ImageError{Ref: ref, Err: err}
	}
}

func (f *failures) has(ref string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.list[ref] != nil
}

func (f *failures) sorted() []*ImageError {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*ImageError
	for _, e := range f.list {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b *ImageError) int { return cmp.Compare(a.Ref, b.Ref) })
	return out
}

// counter counts the bytes of layers that were fetched and found.
type counter struct {
	downloaded, reused atomic.Int64
}
