package dir

import (
	"crypto/sha256"
	"encoding/binary"
	"sync/atomic"

	"github.com/nodeseal/nodeseal/bundle/filetable"
)

// repeatBits is how many bits a set of repeats has: 8 MiB. Of five million different
// contents it takes one in 14 for one that is listed more than once.
const repeatBits = 1 << 26

// repeats knows the contents that file tables list more than once. Those are hashed
// one by one, so that no table can claim one digest for two contents; what is
// listed once is proven by the diff ID of its layer alone.
//
// It keeps a bit for many digests: some contents more than need be may be hashed,
// none less. Its methods may be called concurrently.
type repeats struct {
	seen, again []atomic.Uint32
}

func newRepeats() repeats {
	return repeats{seen: make([]atomic.Uint32, repeatBits/32), again: make([]atomic.Uint32, repeatBits/32)}
}

// bitOf returns the word and the bit of a content.
func bitOf(sum [sha256.Size]byte) (word, bit uint32) {
	n := binary.LittleEndian.Uint32(sum[:]) % repeatBits
	return n / 32, 1 << (n % 32)
}

// add adds a content that a table lists. All are added before the first call of listed.
func (r *repeats) add(sum [sha256.Size]byte) {
	if word, bit := bitOf(sum); r.seen[word].Or(bit)&bit != 0 {
		r.again[word].Or(bit)
	}
}

// listed reports whether the content of an entry may be listed more than once.
func (r *repeats) listed(e filetable.Entry) bool {
	word, bit := bitOf(e.SHA256)
	return r.again[word].Load()&bit != 0
}
