package image

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/nodeseal/nodeseal/internal/filemem"
)

// The tables of a tree are made of chunks. Those of a layer of up to 65,536 files are
// ordinary memory. The others are in the space of the import, and are used again for the
// next layer.
const (
	treeChunk = 1 << 10 // elements
	textChunk = 64 << 10
	ownChunks = 64
	ownTexts  = 32
)

// treeMemory is what the trees of an import share. nil is ordinary memory.
type treeMemory struct {
	space   *filemem.Space
	nodes   pool[node]
	entries pool[entry]
	slots   pool[uint32]
	listed  pool[listed]
	texts   pool[byte]
}

// touch is called beside accesses to what may be in the space.
func (m *treeMemory) touch() {
	if m != nil {
		m.space.Touch()
	}
}

// pool has the chunks that no tree uses.
type pool[T any] struct {
	mu   sync.Mutex
	free [][]T
}

func (p *pool[T]) get(space *filemem.Space, size int) ([]T, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := len(p.free) - 1; last >= 0 {
		chunk := p.free[last]
		p.free = p.free[:last]
		return chunk, nil
	}
	chunk, err := filemem.Make[T](space, size)
	if err != nil {
		return nil, fmt.Errorf("tree of a layer: %w", err)
	}
	return chunk, nil
}

func (p *pool[T]) put(chunks [][]T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, chunks...)
}

// series is a growing array in chunks: pointers into it stay good.
type series[T any] struct {
	chunks [][]T
	n      int
}

// add appends v. m and p are nil for ordinary memory.
func (s *series[T]) add(m *treeMemory, p *pool[T], v T) (*T, error) {
	if s.n%treeChunk == 0 {
		chunk, err := newChunk(m, p, len(s.chunks) < ownChunks, treeChunk)
		if err != nil {
			return nil, err
		}
		s.chunks = append(s.chunks, chunk)
	}
	s.n++
	at := s.at(uint32(s.n - 1))
	*at = v
	return at, nil
}

func (s *series[T]) at(i uint32) *T { return &s.chunks[i/treeChunk][i%treeChunk] }

// free gives the memory back.
func (s *series[T]) free(p *pool[T]) {
	if len(s.chunks) > ownChunks {
		p.put(s.chunks[ownChunks:])
	}
	s.chunks, s.n = nil, 0
}

func newChunk[T any](m *treeMemory, p *pool[T], own bool, size int) ([]T, error) {
	if m == nil || own {
		return make([]T, size), nil
	}
	return p.get(m.space, size)
}

// texts keeps texts beside one another, each under a number above 0.
type texts struct {
	chunks [][]byte
	used   int // of the last one
}

// add keeps a copy of s.
func (t *texts) add(m *treeMemory, s string) (uint32, error) {
	need := binary.MaxVarintLen32 + len(s)
	if len(t.chunks) == 0 || t.used+need > len(t.chunks[len(t.chunks)-1]) {
		if len(t.chunks) == 1<<32/textChunk-1 {
			return 0, errors.New("the names of a layer are too long together")
		}
		own := len(t.chunks) < ownTexts
		var chunk []byte
		var err error
		switch {
		case m == nil || own:
			chunk = make([]byte, max(need, textChunk))
		case need > textChunk:
			chunk, err = filemem.Make[byte](m.space, need)
		default:
			chunk, err = m.texts.get(m.space, textChunk)
		}
		if err != nil {
			return 0, err
		}
		t.chunks, t.used = append(t.chunks, chunk), 0
	}
	last := len(t.chunks) - 1
	at := t.used
	b := binary.AppendUvarint(t.chunks[last][:at], uint64(len(s)))
	t.used = len(append(b, s...))
	return uint32(last*textChunk + at + 1), nil
}

// at returns a text. It is good as long as the tree is.
func (t *texts) at(number uint32) []byte {
	chunk := t.chunks[(number-1)/textChunk][(number-1)%textChunk:]
	n, head := binary.Uvarint(chunk)
	return chunk[head : head+int(n)]
}

func (t *texts) free(m *treeMemory) {
	for i, chunk := range t.chunks {
		if i >= ownTexts && len(chunk) == textChunk {
			m.texts.put([][]byte{chunk})
		}
	}
	t.chunks = nil
}
