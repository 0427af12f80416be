package erofs

import (
	"encoding/binary"

	"github.com/nodeseal/nodeseal/internal/filemem"
)

const (
	tableChunk = 1 << 14
	arenaChunk = 1 << 20
)

// table is a growing array in chunks: growing copies nothing. Its elements hold no
// pointers.
type table[T any] struct {
	space  *filemem.Space // nil is ordinary memory
	chunks [][]T
	n      int
}

// add appends v and returns its index. The caller bounds the length.
func (t *table[T]) add(v T) (uint32, error) {
	if t.n%tableChunk == 0 {
		chunk, err := filemem.Make[T](t.space, tableChunk)
		if err != nil {
			return 0, err
		}
		t.chunks = append(t.chunks, chunk[:0])
	}
	last := &t.chunks[len(t.chunks)-1]
	*last = append(*last, v)
	t.n++
	return uint32(t.n - 1), nil
}

// at points at an element. The pointer stays good while the table grows.
func (t *table[T]) at(i uint32) *T {
	return &t.chunks[i/tableChunk][i%tableChunk]
}

// arena keeps short byte strings, each under the offset that add returned.
type arena struct {
	space  *filemem.Space // nil is ordinary memory
	chunks [][]byte
}

// add keeps a copy of s, at most 65,535 bytes. The error is ErrLimit when the arena is
// full (4 GiB).
func (a *arena) add(s string) (uint32, error) {
	need := 2 + len(s)
	if n := len(a.chunks); n == 0 || len(a.chunks[n-1])+need > arenaChunk {
		if n == 1<<32/arenaChunk {
			return 0, ErrLimit
		}
		chunk, err := filemem.Make[byte](a.space, arenaChunk)
		if err != nil {
			return 0, err
		}
		a.chunks = append(a.chunks, chunk[:0])
	}
	i := len(a.chunks) - 1
	off := i*arenaChunk + len(a.chunks[i])
	chunk := binary.LittleEndian.AppendUint16(a.chunks[i], uint16(len(s)))
	a.chunks[i] = append(chunk, s...)
	return uint32(off), nil
}

// at returns the string of an offset. It must not be changed.
func (a *arena) at(off uint32) []byte {
	chunk := a.chunks[off/arenaChunk][off%arenaChunk:]
	n := binary.LittleEndian.Uint16(chunk)
	return chunk[2 : 2+int(n)]
}
