package delta

import (
	"context"
	"encoding/binary"
	"math/bits"

	"github.com/nodeseal/nodeseal/bundle/delta"
)

const (
	// hashLen is how many equal bytes the index finds.
	hashLen = 16
	// maxSlots bounds the index, whose positions take 4 bytes each.
	maxSlots = 1 << placeBits
	// placeBits of a slot are the position, the rest is of the hash.
	placeBits = 24
	// ways is how many positions of equal hash the index keeps.
	ways = 4
	// dropOff ends an approximate match: so many more bytes differ than agree since the best length.
	dropOff = 48
	// maxDrift ends one, too: so many bytes were looked at since the best length. Where as much
	// agrees as differs, the end of the file would be the next end.
	maxDrift = 1 << 10
	// maxWork is how many bytes are looked at for each of the new file. Files that want more are
	// made for that; what is left of them is searched in longer steps.
	maxWork = 64
	// maxOps bounds the pieces of a file, which take 24 bytes each, and twice that while they grow.
	maxOps = 1 << 20
	// minGain is by how many bytes an approximate match has to agree more than it differs.
	minGain = 16
)

// index finds the places of an old file that begin as a place of the new one does.
type index struct {
	old    []byte
	slots  []uint32 // (position/stride + 1) << 8, and eight bits of the hash; ways for each hash
	shift  uint
	stride int
}

func newIndex(old []byte) *index {
	stride := strideOf(len(old))
	n := len(old)/stride + ways
	log := max(bits.Len(uint(n-1)), 6)
	log = min(log, placeBits)
	x := &index{old: old, slots: make([]uint32, 1<<log), shift: uint(64 - log + bits.Len(ways) - 1), stride: stride}
	for p, place := 0, uint32(1); p+hashLen <= len(old); p, place = p+stride, place+1 {
		b, tag := x.bucket(old[p:])
		// Looking for a free one of the four would wait for memory at each place. One that is
		// written over costs a twentieth of the delta's size, and a third of the time is won.
		b[place%ways] = place<<8 | tag
	}
	return x
}

// strideOf returns the distance of the places in an old file of n bytes that the index has: the
// last of them counts less than maxSlots, which is what a slot holds.
func strideOf(n int) int {
	stride := 4
	for n/stride+1 >= maxSlots {
		stride *= 2
	}
	return stride
}

// bucket returns the slots for what p begins with, and the bits that those of equal bytes have.
func (x *index) bucket(p []byte) (slots []uint32, tag uint32) {
	a, b := binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:])
	h := (a*0x9E3779B185EBCA87 ^ bits.RotateLeft64(b, 31)) * 0xC2B2AE3D27D4EB4F
	i := (h >> x.shift) * ways
	return x.slots[i : i+ways : i+ways], uint32(h>>8) & 0xff
}

// matcher tells a new file as pieces of an old one.
type matcher struct {
	*index
	now []byte
	ops []delta.Op
	// work is how many bytes were looked at.
	work int
}

// match is a piece of the new file, [at,end), that resembles the old one at at+shift.
type match struct{ at, end, shift int }

// Compare tells now by old: the pieces make the whole of now. The error is that of ctx. The time
// is bounded by the length of now, whatever the files hold.
func Compare(ctx context.Context, old, now []byte) ([]delta.Op, error) {
	m := &matcher{index: newIndex(old), now: now}
	if err := m.run(ctx); err != nil {
		return nil, err
	}
	return m.ops, nil
}

func (m *matcher) run(ctx context.Context) error {
	last := match{} // with nothing in it
	from := 0       // where the search goes on
	asked := 0      // the work that was done when ctx was asked
	for from+hashLen <= len(m.now) {
		if m.work++; m.work-asked > 1<<16 {
			if asked = m.work; ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
		if m.work > maxWork*(from+1<<16) {
			from += hashLen
		}
		if from+hashLen > len(m.now) {
			break
		}
		c, ok := m.find(from, last)
		if !ok {
			from++
			if from-last.end > 1<<12 && from-last.end < 1<<30 {
				from += min((from-last.end)>>13, 8) // what is new altogether is passed faster
			}
			continue
		}
		m.join(&last, &c)
		m.flush(last, c.at)
		last = c
		from = c.end
	}
	m.flush(last, len(m.now))
	return nil
}

// flush adds a match and what is new between it and next.
func (m *matcher) flush(p match, next int) {
	if p.end == p.at && next == p.end {
		return
	}
	if len(m.ops) == maxOps { // what is left is not told by the old file
		m.ops[maxOps-1].Literal += int64(next - p.at)
		return
	}
	m.ops = append(m.ops, delta.Op{Copy: int64(p.end - p.at), Old: int64(p.at + p.shift), Literal: int64(next - p.end)})
}

// find looks for the best match around position p, behind last.
func (m *matcher) find(p int, last match) (match, bool) {
	var best match
	gain := 0
	try := func(o int) {
		end, g := m.forward(p, o)
		at, back := m.backward(p, o, last.end)
		if g += back; g > gain {
			best, gain = match{at, end, o - p}, g
		}
	}
	if o := p + last.shift; last.end > last.at && o+8 <= len(m.old) && o >= 0 &&
		binary.LittleEndian.Uint64(m.old[o:]) == binary.LittleEndian.Uint64(m.now[p:]) {
		try(o)
	}
	slots, tag := m.bucket(m.now[p:])
	for _, s := range slots {
		if s&0xff != tag || s == 0 {
			continue
		}
		o := (int(s>>8) - 1) * m.stride
		if o-p == last.shift && gain > 0 || !equal16(m.old[o:], m.now[p:]) {
			continue
		}
		try(o)
	}
	return best, gain >= minGain
}

func equal16(a, b []byte) bool {
	return binary.LittleEndian.Uint64(a) == binary.LittleEndian.Uint64(b) &&
		binary.LittleEndian.Uint64(a[8:]) == binary.LittleEndian.Uint64(b[8:])
}

// forward returns how far from now[p] on old[o] resembles it, and by how many bytes more agree than differ.
func (m *matcher) forward(p, o int) (end, gain int) {
	n := min(len(m.now)-p, len(m.old)-o)
	a, b := m.now[p:p+n], m.old[o:o+n]
	score, best, length, i := 0, 0, 0, 0
	var recent [4]uint32
	for i < n {
		if i+8 <= n {
			if x := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); x == 0 {
				i += 8
				if score += 8; score > best {
					best, length = score, i
				}
				continue
			}
		}
		switch {
		case a[i] == b[i]:
			score++
			i++
		case i+4 <= n:
			score += wordScore(a[i:], b[i:], &recent)
			i += 4
		default:
			score--
			i++
		}
		if score > best {
			best, length = score, i
		} else if best-score > dropOff || i-length > maxDrift {
			break
		}
	}
	m.work += i
	return p + length, best
}

// word scores four bytes of which the first differs. A difference that came a moment ago is that of
// an address behind something that grew: it costs next to nothing to tell.
func wordScore(a, b []byte, recent *[4]uint32) int {
	x, y := binary.LittleEndian.Uint32(a), binary.LittleEndian.Uint32(b)
	d := x - y
	for i, r := range recent {
		if r == d {
			copy(recent[1:i+1], recent[:i])
			recent[0] = d
			return 3
		}
	}
	copy(recent[1:], recent[:3])
	recent[0] = d
	score := -4
	for v := x ^ y; v != 0; v >>= 8 {
		if v&0xff == 0 {
			score += 2
		}
	}
	return score + 2*(bits.LeadingZeros32(x^y)/8)
}

// backward is forward in the other direction, down to floor.
func (m *matcher) backward(p, o, floor int) (at, gain int) {
	n := min(p-floor, o)
	score, best, length, i := 0, 0, 0, 1
	for ; i <= n; i++ {
		if m.now[p-i] == m.old[o-i] {
			score++
		} else {
			score--
		}
		if score > best {
			best, length = score, i
		} else if best-score > dropOff || i-length > maxDrift {
			break
		}
	}
	m.work += i
	return p - length, best
}

// join moves the border between two matches to where most bytes agree: the end of the first may
// be better told by the second.
func (m *matcher) join(a, b *match) {
	if a.end != b.at || a.end == a.at {
		return
	}
	n := min(a.end-a.at, 1<<10, b.at+b.shift)
	gain, best, length := 0, 0, 0
	for i := 1; i <= n; i++ {
		p := a.end - i
		if m.now[p] == m.old[p+b.shift] {
			gain++
		}
		if m.now[p] == m.old[p+a.shift] {
			gain--
		}
		if gain > best {
			best, length = gain, i
		}
	}
	a.end -= length
	b.at -= length
}
