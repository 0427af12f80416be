package image

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/nodeseal/nodeseal/internal/erofs"
	"github.com/nodeseal/nodeseal/internal/store/blob"
)

// key is the SHA-256 of a content.
type key = [sha256.Size]byte

// maxContents is how many contents can be numbered.
const maxContents = 1<<31 - 1

// index knows the contents of regular files that are not empty, in the order in
// which they were added. It takes about 60 bytes for each, without pointers. After
// reserve it may be used by many goroutines at once.
type index struct {
	keys   []key
	sizes  []int64
	files  []uint32        // that name the content; until reserve
	many   []uint32        // a bit for each content that more than one file names; after reserve
	taken  []atomic.Uint32 // a bit for each content that somebody writes
	places []erofs.Content // after reserve
	bytes  int64           // of all contents
	slots  []uint32        // open addressing: 0 is free, else the number + 1

	mu     sync.Mutex
	proven map[int]place // where in a donor's image a content was found
}

// place is where blocks of a donor's image are.
type place struct {
	donor *donor
	at    int64
}

const firstSlots = 1 << 12

func newIndex() *index { return &index{slots: make([]uint32, firstSlots), proven: make(map[int]place)} }

// slot returns where the number of k is or belongs.
func (x *index) slot(k *key) uint32 {
	mask := uint32(len(x.slots) - 1)
	// SHA-256 is its own hash. Who makes many contents with the same first bytes
	// makes the import slow, and pays for each of them.
	at := binary.LittleEndian.Uint32(k[:]) & mask
	for x.slots[at] != 0 && x.keys[x.slots[at]-1] != *k {
		at = (at + 1) & mask
	}
	return at
}

// add counts one file with a content.
func (x *index) add(k key, size int64) error {
	at := x.slot(&k)
	if n := x.slots[at]; n != 0 {
		if x.sizes[n-1] != size {
			return fmt.Errorf("%w: one content of %d and of %d bytes", blob.ErrClaim, x.sizes[n-1], size)
		}
		x.files[n-1]++
		return nil
	}
	if len(x.keys) == maxContents {
		return errors.New("too many different files")
	}
	x.keys, x.sizes, x.files = append(x.keys, k), append(x.sizes, size), append(x.files, 1)
	x.bytes += size
	x.slots[at] = uint32(len(x.keys))
	if len(x.keys) > len(x.slots)/2 {
		x.grow()
	}
	return nil
}

func (x *index) grow() {
	x.slots = make([]uint32, 2*len(x.slots))
	for i := range x.keys {
		x.slots[x.slot(&x.keys[i])] = uint32(i + 1)
	}
}

// reserve gives every content its place, in the order of their adding.
func (x *index) reserve(b *erofs.Builder) error {
	x.places = make([]erofs.Content, len(x.keys))
	x.taken = make([]atomic.Uint32, (len(x.keys)+31)/32)
	x.many = make([]uint32, (len(x.keys)+31)/32)
	for i := range x.keys {
		if x.files[i] > 1 {
			x.many[i/32] |= 1 << (i % 32)
		}
		c, err := b.Reserve(x.sizes[i], int(x.files[i]))
		if err != nil {
			return fmt.Errorf("place of a file: %w", err)
		}
		x.places[i] = c
	}
	x.files = nil
	return nil
}

// find returns the place of a content, and its number.
func (x *index) find(k key) (place erofs.Content, number int, ok bool) {
	n := x.slots[x.slot(&k)]
	if n == 0 {
		return 0, 0, false
	}
	return x.places[n-1], int(n - 1), true
}

// shared reports whether more than one file names a content, as the tables say, or
// none.
func (x *index) shared(k key) bool {
	n := x.slots[x.slot(&k)]
	return n == 0 || x.isShared(int(n-1))
}

// isShared is shared of a number.
func (x *index) isShared(number int) bool { return x.many[number/32]&(1<<(number%32)) != 0 }

// provenAt reports whether setProven was called for a content and a place.
func (x *index) provenAt(number int, at place) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.proven[number] == at
}

// setProven says that a content is what a place holds.
func (x *index) setProven(number int, at place) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.proven[number] = at
}

// untake takes take back.
func (x *index) untake(number int) {
	x.taken[number/32].And(^(uint32(1) << (number % 32)))
}

// take reports whether the caller is the first one to ask for a content: it is
// the one that writes it.
func (x *index) take(number int) bool {
	bit := uint32(1) << (number % 32)
	return x.taken[number/32].Or(bit)&bit == 0
}
