package dir

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"

	"github.com/nodeseal/nodeseal/bundle/filetable"
)

// repeats knows the contents that file tables list more than once. Those are hashed
// one by one, so that no table can claim one digest for two contents; what is
// listed once is proven by the diff ID of its layer alone.
//
// It keeps eight bytes of each digest: some contents more than need be may be hashed,
// none less.
type repeats struct {
	mu  sync.Mutex
	all []uint64 // as they come; after end sorted, and only those that came again
}

// shortened is what repeats keeps of a digest.
func shortened(sum [sha256.Size]byte) uint64 { return binary.LittleEndian.Uint64(sum[:]) }

// add adds the contents that one table lists. It may be called concurrently.
func (r *repeats) add(contents []uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, contents...)
}

// end ends adding; only then listed may be called.
func (r *repeats) end() {
	slices.Sort(r.all)
	var again []uint64
	for i, c := range r.all {
		if i > 0 && c == r.all[i-1] && (len(again) == 0 || again[len(again)-1] != c) {
			again = append(again, c)
		}
	}
	r.all = again
}

// listed reports whether the content of an entry may be listed more than once. It
// may be called concurrently.
func (r *repeats) listed(e filetable.Entry) bool {
	_, found := slices.BinarySearch(r.all, shortened(e.SHA256))
	return found
}
