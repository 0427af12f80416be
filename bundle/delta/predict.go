package delta

import (
	"encoding/binary"
	"slices"
	"sort"
)

// piece is a stretch of the old file that has a place in the new one.
type piece struct{ old, len, now int64 }

// lookBack is how many pieces are looked at for the one that has an address.
const lookBack = 32

// addresses tells where what the old file has at an address is in the new one. Programs that were
// built again differ mostly in the addresses of what moved.
type addresses struct {
	pieces   []piece // by old
	back     []uint8 // for each piece, how many of those before it are to be looked at for what it has
	old, now []Range
}

// set takes the pieces of ops, the first of which makes the new file's bytes from at on.
func (a *addresses) set(ops []Op, at int64) {
	a.pieces = a.pieces[:0]
	for _, o := range ops {
		if o.Copy > 0 {
			a.pieces = append(a.pieces, piece{o.Old, o.Copy, at})
		}
		at += o.Copy + o.Literal
	}
	slices.SortFunc(a.pieces, func(x, y piece) int {
		if x.old != y.old {
			return sign(x.old - y.old)
		}
		return sign(x.now - y.now)
	})
	a.back = slices.Grow(a.back[:0], len(a.pieces))[:len(a.pieces)]
	for i := range a.pieces {
		a.back[i] = 0
		for n := 1; n < lookBack && n <= i; n++ {
			if p := a.pieces[i-n]; p.old+p.len > a.pieces[i].old {
				a.back[i] = uint8(n)
			}
		}
	}
}

func sign(n int64) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

// move returns the new address of what had the address addr.
func (a *addresses) move(addr int64) (int64, bool) {
	off, ok := offsetOf(a.old, addr)
	if !ok {
		return 0, false
	}
	last := sort.Search(len(a.pieces), func(i int) bool { return a.pieces[i].old > off }) - 1
	if last < 0 {
		return 0, false
	}
	best := -1
	for i := last; i >= last-int(a.back[last]); i-- {
		if p := a.pieces[i]; off < p.old+p.len && (best < 0 || p.len > a.pieces[best].len) {
			best = i
		}
	}
	if best < 0 {
		best = last
	}
	p := a.pieces[best]
	return addressOf(a.now, p.now+off-p.old), true
}

// absolute predicts a field that holds an address; word is what the old file has there.
func (a *addresses) absolute(word uint32) (uint32, bool) {
	to, ok := a.move(int64(int32(word)))
	return uint32(to), ok
}

// relative predicts a field that holds the distance from its own end to an address. The field is
// at old and at now of the files.
func (a *addresses) relative(word uint32, old, now int64) (uint32, bool) {
	to, ok := a.move(addressOf(a.old, old+4) + int64(int32(word)))
	return uint32(to - addressOf(a.now, now+4)), ok
}

func addressOf(ranges []Range, off int64) int64 {
	for _, r := range ranges {
		if off >= r.Off && off-r.Off < r.Len {
			return r.Addr + off - r.Off
		}
	}
	return off
}

func offsetOf(ranges []Range, addr int64) (int64, bool) {
	for _, r := range ranges {
		if addr >= r.Addr && addr-r.Addr < r.Len {
			return r.Off + addr - r.Addr, true
		}
	}
	return 0, false
}

// recent are the latest differences between words, the last one first.
type recent struct {
	words [recentWords]uint32
	n     int
}

func (r *recent) find(d uint32) int {
	return slices.Index(r.words[:r.n], d)
}

// use moves the word at i to the front.
func (r *recent) use(i int) uint32 {
	d := r.words[i]
	copy(r.words[1:i+1], r.words[:i])
	r.words[0] = d
	return d
}

func (r *recent) add(d uint32) {
	r.n = min(r.n+1, recentWords)
	copy(r.words[1:r.n], r.words[:r.n-1])
	r.words[0] = d
}

func word(p []byte) uint32 { return binary.LittleEndian.Uint32(p) }
