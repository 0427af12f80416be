package seekable

import (
	"encoding/binary"
	"math/bits"
)

// xxh64 is the hash that zstd frames carry of their content (XXH64, seed 0).
// The zstd library does not give its own away.
type xxh64 struct {
	lanes [4]uint64
	rest  [32]byte
	total uint64
}

const (
	prime1 uint64 = 11400714785074694791
	prime2 uint64 = 14029467366897019727
	prime3 uint64 = 1609587929392839161
	prime4 uint64 = 9650029242287828579
	prime5 uint64 = 2870177450012600261
)

func newXXH64() xxh64 {
	one := prime1 // wraps around below, as constants may not
	return xxh64{lanes: [4]uint64{one + prime2, prime2, 0, -one}}
}

func round(lane, input uint64) uint64 {
	return bits.RotateLeft64(lane+input*prime2, 31) * prime1
}

// write adds p.
func (x *xxh64) write(p []byte) {
	held := int(x.total % 32)
	x.total += uint64(len(p))
	if held > 0 {
		n := copy(x.rest[held:], p)
		p = p[n:]
		if held+n < 32 {
			return
		}
		x.stripes(x.rest[:])
	}
	whole := len(p) &^ 31
	x.stripes(p[:whole])
	copy(x.rest[:], p[whole:])
}

// stripes adds p, a multiple of 32 bytes.
func (x *xxh64) stripes(p []byte) {
	a, b, c, d := x.lanes[0], x.lanes[1], x.lanes[2], x.lanes[3]
	for ; len(p) >= 32; p = p[32:] {
		a = round(a, binary.LittleEndian.Uint64(p))
		b = round(b, binary.LittleEndian.Uint64(p[8:]))
		c = round(c, binary.LittleEndian.Uint64(p[16:]))
		d = round(d, binary.LittleEndian.Uint64(p[24:]))
	}
	x.lanes = [4]uint64{a, b, c, d}
}

// sum is the hash of what was added so far.
func (x *xxh64) sum() uint64 {
	h := prime5
	if x.total >= 32 {
		h = bits.RotateLeft64(x.lanes[0], 1) + bits.RotateLeft64(x.lanes[1], 7) +
			bits.RotateLeft64(x.lanes[2], 12) + bits.RotateLeft64(x.lanes[3], 18)
		for _, lane := range x.lanes {
			h = (h^round(0, lane))*prime1 + prime4
		}
	}
	h += x.total
	p := x.rest[:x.total%32]
	for ; len(p) >= 8; p = p[8:] {
		h = bits.RotateLeft64(h^round(0, binary.LittleEndian.Uint64(p)), 27)*prime1 + prime4
	}
	if len(p) >= 4 {
		h = bits.RotateLeft64(h^uint64(binary.LittleEndian.Uint32(p))*prime1, 23)*prime2 + prime3
		p = p[4:]
	}
	for _, b := range p {
		h = bits.RotateLeft64(h^uint64(b)*prime5, 11) * prime1
	}
	h = (h ^ h>>33) * prime2
	h = (h ^ h>>29) * prime3
	return h ^ h>>32
}
