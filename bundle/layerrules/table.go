package layerrules

import "math/bits"

// shards is how many parts a table has. One grows at a time, so that growing needs little
// memory besides the table's own.
const shards = 64

// table maps hashes to numbers above 0. It takes 14 to 18 bytes for each of many. The zero
// value is empty.
type table struct {
	parts [shards]part
	used  int // in all parts
}

// part is open addressing with linear probing. It is never full.
type part struct {
	keys   []uint64
	values []uint32 // of the keys; 0 marks a place that is free
	used   int
}

func (t *table) get(key uint64) uint32 {
	p := &t.parts[key%shards]
	if p.used == 0 {
		return 0
	}
	return p.values[p.find(key)]
}

func (t *table) set(key uint64, value uint32) {
	p := &t.parts[key%shards]
	if p.used >= len(p.keys)/8*7 {
		p.grow()
	}
	i := p.find(key)
	if p.values[i] == 0 {
		p.used++
		t.used++
	}
	p.keys[i], p.values[i] = key, value
}

// find returns the place of key, or the free one where it belongs.
func (p *part) find(key uint64) int {
	high, _ := bits.Mul64(key, uint64(len(p.keys)))
	for i := int(high); ; i++ {
		if i == len(p.keys) {
			i = 0
		}
		if p.values[i] == 0 || p.keys[i] == key {
			return i
		}
	}
}

func (p *part) grow() {
	old := *p
	n := max(8, len(old.keys)+len(old.keys)/8)
	p.keys, p.values = make([]uint64, n), make([]uint32, n)
	for i, value := range old.values {
		if value != 0 {
			at := p.find(old.keys[i])
			p.keys[at], p.values[at] = old.keys[i], value
		}
	}
}
