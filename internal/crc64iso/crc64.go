// Package crc64iso computes the CRC-64 of ISO 3309 faster than hash/crc64, whose
// tables know nothing of the polynomial. x^64 + x^4 + x^3 + x + 1 has few terms: to
// multiply by a power of x takes some shifts, which is what a step of the sum is. Where
// the processor multiplies without carry, it takes 64 bytes a step.
package crc64iso

import (
	"encoding/binary"
	"hash"
	"hash/crc64"
)

// New returns a hash like crc64.New(crc64.MakeTable(crc64.ISO)).
func New() hash.Hash64 { return new(digest) }

type digest uint64

// Size implements hash.Hash.
func (d *digest) Size() int { return crc64.Size }

// BlockSize implements hash.Hash.
func (d *digest) BlockSize() int { return 1 }

// Reset implements hash.Hash.
func (d *digest) Reset() { *d = 0 }

// Sum64 implements hash.Hash64.
func (d *digest) Sum64() uint64 { return uint64(*d) }

// Sum implements hash.Hash.
func (d *digest) Sum(b []byte) []byte { return binary.BigEndian.AppendUint64(b, uint64(*d)) }

// Write implements io.Writer.
func (d *digest) Write(b []byte) (int, error) {
	*d = digest(Update(uint64(*d), b))
	return len(b), nil
}

// lanes is how many words are summed side by side: each word is far enough from the
// one before it in its lane that a processor does all lanes at once.
const lanes = 4

// foldSize is how many bytes one step of fold takes.
const foldSize = 64

// Update returns the sum of crc's bytes and b.
//
// Bits are reflected, as in hash/crc64: bit 63 is the coefficient of x^0, and to shift
// right is to multiply by x. Where bits leave at the right, x^64 and more is
// x^4 + x^3 + x + 1 times what left.
func Update(crc uint64, b []byte) uint64 { return update(crc, b, folds()) }

// update folds where the processor can.
func update(crc uint64, b []byte, canFold bool) uint64 {
	crc = ^crc
	if canFold && len(b) >= 4*foldSize {
		acc := [foldSize]byte(b)
		binary.LittleEndian.PutUint64(acc[:], crc^binary.LittleEndian.Uint64(b))
		b = b[foldSize:]
		blocks := len(b) / foldSize
		fold(&acc, &b[0], blocks)
		crc, b = words(0, acc[:]), b[blocks*foldSize:]
	} else if len(b) >= 16*lanes {
		var l0, l1, l2, l3 uint64
		l0 = crc
		for {
			l0 ^= binary.LittleEndian.Uint64(b)
			l1 ^= binary.LittleEndian.Uint64(b[8:])
			l2 ^= binary.LittleEndian.Uint64(b[16:])
			l3 ^= binary.LittleEndian.Uint64(b[24:])
			b = b[8*lanes:]
			if len(b) < 8*lanes {
				break
			}
			l0, l1, l2, l3 = times256(l0), times256(l1), times256(l2), times256(l3)
		}
		crc = times64(times64(times64(times64(l0)^l1)^l2) ^ l3)
	}
	whole := len(b) &^ 7
	crc = words(crc, b[:whole])
	return crc64.Update(^crc, crc64.MakeTable(crc64.ISO), b[whole:])
}

// words adds whole words to a sum, one after another.
func words(crc uint64, b []byte) uint64 {
	for ; len(b) >= 8; b = b[8:] {
		crc = times64(crc ^ binary.LittleEndian.Uint64(b))
	}
	return crc
}

// times64 multiplies by x^64, which is x^4 + x^3 + x + 1.
func times64(v uint64) uint64 {
	left := v<<63 ^ v<<61 ^ v<<60
	return v ^ v>>1 ^ v>>3 ^ v>>4 ^ left ^ left>>1 ^ left>>3 ^ left>>4
}

// times256 multiplies by x^256, which is (x^4 + x^3 + x + 1)^4 = x^16 + x^12 + x^4 + 1:
// a square has no mixed terms where 1 + 1 is 0.
func times256(v uint64) uint64 {
	left := v<<60 ^ v<<52 ^ v<<48
	return v ^ v>>4 ^ v>>12 ^ v>>16 ^ left ^ left>>1 ^ left>>3 ^ left>>4
}
