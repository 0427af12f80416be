package erofs

import "encoding/binary"

const (
	tableChunk = 1 << 14
	arenaChunk = 1 << 20
)

// table is a growing array in chunks: growing copies nothing, and a chunk without
// pointers costs the garbage collector nothing.
type table[T any] struct {
	chunks [][]T
	n      int
}

// add appends v and returns its index. The caller bounds the length.
func (t *table[T]) add(v T) uint32 {
	if t.n%tableChunk == 0 {
		t.chunks = append(t.chunks, make([]T, 0, tableChunk))
	}
	last := &t.chunks[len(t.chunks)-1]
	*last = append(*last, v)
	t.n++
	return uint32(t.n - 1)
}

// at points at an element. The pointer stays good while the table grows.
func (t *table[T]) at(i uint32) *T {
	return &t.chunks[i/tableChunk][i%tableChunk]
}

// arena keeps short byte strings, each under the offset that add returned.
type arena struct {
	chunks [][]byte
}

// add keeps a copy of s, at most 65,535 bytes; false when the arena is full (4 GiB).
func (a *arena) add(s string) (uint32, bool) {
	need := 2 + len(s)
	if n := len(a.chunks); n == 0 || len(a.chunks[n-1])+need > arenaChunk {
		if n == 1<<32/arenaChunk {
			return 0, false
		}
		a.chunks = append(a.chunks, make([]byte, 0, arenaChunk))
	}
	i := len(a.chunks) - 1
	off := i*arenaChunk + len(a.chunks[i])
	chunk := binary.LittleEndian.AppendUint16(a.chunks[i], uint16(len(s)))
	a.chunks[i] = append(chunk, s...)
	return uint32(off), true
}

// at returns the string of an offset. It must not be changed.
func (a *arena) at(off uint32) []byte {
	chunk := a.chunks[off/arenaChunk][off%arenaChunk:]
	n := binary.LittleEndian.Uint16(chunk)
	return chunk[2 : 2+int(n)]
}
