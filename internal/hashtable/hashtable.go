// Package hashtable keeps a number for each of millions of hashes, in little memory.
package hashtable

import "math/bits"

// shards is how many parts a table has. One grows at a time, so that growing needs little
// memory besides the table's own.
const shards = 64

// Memory is about what a Table takes for each of many keys, in bytes.
const Memory = 15

// Table maps hashes to numbers above 0. Keys are hashes of 64 well mixed bits: two things
// of the same hash are one for it. The zero value is empty. It is for one goroutine.
type Table struct {
	parts [shards]part
	used  int // in all parts
}

// part is open addressing with linear probing. It is never full.
type part struct {
	keys   []uint64
	values []uint32 // of the keys; 0 marks a place that is free
	used   int
}

// Len returns how many keys have a number.
func (t *Table) Len() int { return t.used }

// Get returns the number of key, 0 if it has none.
func (t *Table) Get(key uint64) uint32 {
	p := &t.parts[key%shards]
	if p.used == 0 {
		return 0
	}
	return p.values[p.find(key)]
}

// Set gives key a number, which is above 0.
func (t *Table) Set(key uint64, value uint32) {
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
