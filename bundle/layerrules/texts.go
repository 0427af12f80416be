package layerrules

import (
	"encoding/binary"
	"iter"
)

// chunkSize is how much of texts is allocated at once.
const chunkSize = 64 << 10

// texts keeps texts, each shorter than maxPath, beside one another. It has copies of them:
// what a header of a tar says may be a small part of a large record.
type texts struct {
	chunks [][]byte
}

// add keeps s and returns its number, which is above 0.
func (t *texts) add(s string) uint32 {
	last := len(t.chunks) - 1
	if last < 0 || len(t.chunks[last])+binary.MaxVarintLen16+len(s) > chunkSize {
		t.chunks = append(t.chunks, nil)
		last++
	}
	at := len(t.chunks[last])
	b := binary.AppendUvarint(t.chunks[last], uint64(len(s)))
	t.chunks[last] = append(b, s...)
	return uint32(last*chunkSize + at + 1)
}

// get returns the text with a number.
func (t *texts) get(number uint32) string {
	at := int(number - 1)
	s, _ := cutText(t.chunks[at/chunkSize][at%chunkSize:])
	return s
}

// all yields the texts in the order in which they were added.
func (t *texts) all() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, rest := range t.chunks {
			for len(rest) > 0 {
				var s string
				if s, rest = cutText(rest); !yield(s) {
					return
				}
			}
		}
	}
}

func cutText(b []byte) (s string, rest []byte) {
	n, head := binary.Uvarint(b)
	end := head + int(n)
	return string(b[head:end]), b[end:]
}
