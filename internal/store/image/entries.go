package image

import (
	"hash/maphash"
	"iter"
	"math/bits"
)

// entry is a name in a directory. Those of a directory are a list.
type entry struct {
	dir, node uint32 // by their numbers; node 0 is a name that was taken away
	next      uint32 // entry + 1
	name      uint32 // text
	hash      uint32
}

// entries finds entries by directory and name.
type entries struct {
	series[entry]
	slots series[uint32] // entry + 1; their number is a power of two
	seed  maphash.Seed
}

// hash mixes the hash of a name, whose seed is not known beforehand, with a directory.
func (e *entries) hash(dir uint32, name string) uint32 {
	high, low := bits.Mul64(maphash.String(e.seed, name)^uint64(dir)*0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93)
	return uint32(high ^ low ^ low>>32)
}

// lookup returns the entry of a name, nil if there never was one.
func (t *tree) lookup(dir *node, name string) *entry {
	e := &t.entries
	if e.n == 0 {
		return nil
	}
	t.memory.touch()
	hash := e.hash(dir.number, name)
	mask := uint32(e.slots.n - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		slot := *e.slots.at(at)
		if slot == 0 {
			return nil
		}
		found := e.at(slot - 1)
		if found.hash == hash && found.dir == dir.number && string(t.texts.at(found.name)) == name {
			return found
		}
	}
}

// child returns what has a name in a directory, nil if nothing has it.
func (t *tree) child(dir *node, name string) *node {
	if e := t.lookup(dir, name); e != nil && e.node != 0 {
		return t.nodes.at(e.node - 1)
	}
	return nil
}

// children yields what is in a directory.
func (t *tree) children(dir *node) iter.Seq2[string, *node] {
	return func(yield func(string, *node) bool) {
		for next := dir.first; next != 0; {
			t.memory.touch()
			e := t.entries.at(next - 1)
			if next = e.next; e.node != 0 && !yield(string(t.texts.at(e.name)), t.nodes.at(e.node-1)) {
				return
			}
		}
	}
}

// enter gives n a name in a directory, which has none of that name.
func (t *tree) enter(dir *node, name string, n *node) error {
	if e := t.lookup(dir, name); e != nil {
		e.node = n.number
		return nil
	}
	e := &t.entries
	if e.n >= e.slots.n/4*3 {
		if err := t.grow(); err != nil {
			return err
		}
	}
	text, err := t.texts.add(t.memory, name)
	if err != nil {
		return err
	}
	_, err = e.add(t.memory, t.memory.entryPool(), entry{
		dir: dir.number, node: n.number, next: dir.first, name: text, hash: e.hash(dir.number, name),
	})
	if err != nil {
		return err
	}
	dir.first = uint32(e.n)
	e.place(uint32(e.n))
	return nil
}

// place gives an entry + 1 its slot.
func (e *entries) place(number uint32) {
	mask := uint32(e.slots.n - 1)
	at := e.at(number-1).hash & mask
	for *e.slots.at(at) != 0 {
		at = (at + 1) & mask
	}
	*e.slots.at(at) = number
}

// grow doubles the slots.
func (t *tree) grow() error {
	e := &t.entries
	n := max(treeChunk, 2*e.slots.n)
	e.slots.free(t.memory.slotPool())
	for e.slots.n < n {
		if _, err := e.slots.add(t.memory, t.memory.slotPool(), 0); err != nil {
			return err
		}
	}
	for i := range e.n {
		t.memory.touch()
		e.place(uint32(i + 1))
	}
	return nil
}

// The pools of nil are nil.

func (m *treeMemory) entryPool() *pool[entry] {
	if m == nil {
		return nil
	}
	return &m.entries
}

func (m *treeMemory) slotPool() *pool[uint32] {
	if m == nil {
		return nil
	}
	return &m.slots
}

func (m *treeMemory) nodePool() *pool[node] {
	if m == nil {
		return nil
	}
	return &m.nodes
}

func (m *treeMemory) listedPool() *pool[listed] {
	if m == nil {
		return nil
	}
	return &m.listed
}
