package image

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/nodeseal/nodeseal/internal/erofs"
	"github.com/nodeseal/nodeseal/internal/filemem"
	"github.com/nodeseal/nodeseal/internal/store/blob"
)

// key is the SHA-256 of a content.
type key = [sha256.Size]byte

// maxContents is how many contents can be numbered.
const maxContents = 1<<31 - 1

// index knows the contents of regular files that are not empty, in the order in
// which they were added. It takes about 80 bytes for each, in a file. After reserve it
// may be used by many goroutines at once.
type index struct {
	space  *filemem.Space
	chunks [][]known // all but the last one are full
	n      int
	many   []uint32        // a bit for each content that more than one file names; after reserve
	taken  []atomic.Uint32 // a bit for each content that somebody writes
	bytes  int64           // of all contents
	slots  []uint64        // open addressing: 0 is free, else tag and number + 1
}

// place is where blocks of a donor's image are.
type place struct {
	donor *donor
	at    int64
}

// packed is a place in a word, never 0: an image has less than 2^48 bytes.
func (p place) packed() uint64 { return uint64(p.at)<<16 | uint64(p.donor.number) + 1 }

// known is a content.
type known struct {
	key   key
	size  int64
	files uint32        // that name it; until reserve
	place erofs.Content // after reserve
	// proven is where in a donor's image the content was found, packed; 0 is nowhere.
	proven atomic.Uint64
}

const (
	firstSlots = 1 << 12
	indexChunk = 1 << 14
)

func newIndex(space *filemem.Space) *index {
	return &index{space: space, slots: make([]uint64, firstSlots)}
}

// at is a content by its number.
func (x *index) at(number int) *known { return &x.chunks[number/indexChunk][number%indexChunk] }

// A slot has the number of a content + 1 in its lower half, and in its upper one a tag:
// other bits of the key than those that lead to the slot, so that few other contents are
// looked at.
func tagOf(k *key) uint64 { return uint64(binary.LittleEndian.Uint32(k[4:])) << 32 }

// slot returns where the number of k is or belongs.
func (x *index) slot(k *key) uint32 {
	x.space.Touch()
	mask, tag := uint32(len(x.slots)-1), tagOf(k)
	// SHA-256 is its own hash. Who makes many contents with the same first bytes
	// makes the import slow, and pays for each of them.
	at := binary.LittleEndian.Uint32(k[:]) & mask
	for s := x.slots[at]; s != 0; s = x.slots[at] {
		if s&^(1<<32-1) == tag && x.at(int(uint32(s)-1)).key == *k {
			break
		}
		at = (at + 1) & mask
	}
	return at
}

// number returns the number of a content.
func (x *index) number(k *key) (int, bool) {
	s := uint32(x.slots[x.slot(k)])
	return int(s) - 1, s != 0
}

// add counts one file with a content.
func (x *index) add(k key, size int64) error {
	at := x.slot(&k)
	if s := uint32(x.slots[at]); s != 0 {
		c := x.at(int(s - 1))
		if c.size != size {
			return fmt.Errorf("%w: one content of %d and of %d bytes", blob.ErrClaim, c.size, size)
		}
		c.files++
		return nil
	}
	if x.n == maxContents {
		return errors.New("too many different files")
	}
	if x.n%indexChunk == 0 {
		chunk, err := filemem.Make[known](x.space, indexChunk)
		if err != nil {
			return fmt.Errorf("table of contents: %w", err)
		}
		x.chunks = append(x.chunks, chunk)
	}
	c := x.at(x.n) // zero until now
	c.key, c.size, c.files = k, size, 1
	x.n++
	x.bytes += size
	x.slots[at] = tagOf(&k) | uint64(x.n)
	if x.n > len(x.slots)/4*3 {
		return x.grow()
	}
	return nil
}

func (x *index) grow() (err error) {
	if x.slots, err = filemem.Make[uint64](x.space, 2*len(x.slots)); err != nil {
		return fmt.Errorf("table of contents: %w", err)
	}
	for i := range x.n {
		k := &x.at(i).key
		x.slots[x.slot(k)] = tagOf(k) | uint64(i+1)
	}
	return nil
}

// reserve gives every content its place, in the order of their adding.
func (x *index) reserve(b *erofs.Builder) error {
	x.taken = make([]atomic.Uint32, (x.n+31)/32)
	x.many = make([]uint32, (x.n+31)/32)
	for i := range x.n {
		x.space.Touch()
		c := x.at(i)
		if c.files > 1 {
			x.many[i/32] |= 1 << (i % 32)
		}
		var err error
		if c.place, err = b.Reserve(c.size, int(c.files)); err != nil {
			return fmt.Errorf("place of a file: %w", err)
		}
	}
	return nil
}

// find returns a content, and its number.
func (x *index) find(k key) (c *known, number int, ok bool) {
	number, ok = x.number(&k)
	if !ok {
		return nil, 0, false
	}
	return x.at(number), number, true
}

// shared reports whether more than one file names a content, as the tables say, or
// none.
func (x *index) shared(k key) bool {
	n, ok := x.number(&k)
	return !ok || x.isShared(n)
}

// isShared is shared of a number.
func (x *index) isShared(number int) bool { return x.many[number/32]&(1<<(number%32)) != 0 }

// provenAt reports whether setProven was called for a content and a place.
func (x *index) provenAt(number int, at place) bool {
	return x.at(number).proven.Load() == at.packed()
}

// setProven says that a content is what a place holds.
func (x *index) setProven(number int, at place) { x.at(number).proven.Store(at.packed()) }

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
