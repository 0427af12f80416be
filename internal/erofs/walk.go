package erofs

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// walk visits the root, then the entries of each directory together, before those of
// its subdirectories: what a listing with attributes reads lies side by side. A node
// with several names is visited at each. visit may sort the entries of its directory.
func (b *Builder) walk(ctx context.Context, visit func(n uint32) error) error {
	if err := visit(uint32(Root)); err != nil {
		return err
	}
	stack := []uint32{uint32(Root)}
	for len(stack) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		dir := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		rest := len(stack)
		for e := b.inodes.at(dir).data; e != noEntry; {
			b.space.Touch()
			ent := b.entries.at(e)
			if ent.name != b.dot && ent.name != b.dotDot {
				if err := visit(ent.node); err != nil {
					return err
				}
				if b.isDir(Node(ent.node)) {
					stack = append(stack, ent.node)
				}
			}
			e = ent.next
		}
		slices.Reverse(stack[rest:])
	}
	return nil
}

// sortDir links the entries of a directory in the order of their names. The error is
// fs.ErrExist where one is there twice.
func (b *Builder) sortDir(dir uint32) error {
	list := b.scratch[:0]
	for e := b.inodes.at(dir).data; e != noEntry; e = b.entries.at(e).next {
		list = append(list, e)
	}
	b.scratch = list
	slices.Reverse(list) // into the order in which they were added: often sorted already
	slices.SortFunc(list, func(x, y uint32) int { return bytes.Compare(b.name(x), b.name(y)) })
	next := uint32(noEntry)
	for i, e := range slices.Backward(list) {
		if i > 0 && bytes.Equal(b.name(e), b.name(list[i-1])) {
			return fmt.Errorf("%q in %q: %w", b.name(e), b.path(dir), fs.ErrExist)
		}
		b.entries.at(e).next = next
		next = e
	}
	b.inodes.at(dir).data = next
	return nil
}

func (b *Builder) name(e uint32) []byte { return b.strings.at(b.entries.at(e).name) }

// path is the path of a directory, for errors.
func (b *Builder) path(dir uint32) string {
	var names []string
	for dir != uint32(Root) {
		parent := b.find(dir, func(e *entry) bool { return e.name == b.dotDot }).node
		here := b.find(parent, func(e *entry) bool { return e.node == dir && e.name != b.dot })
		names = append(names, string(b.strings.at(here.name)))
		dir = parent
	}
	slices.Reverse(names)
	return "/" + strings.Join(names, "/")
}

// find is the entry of a directory for which is says true: there is one.
func (b *Builder) find(dir uint32, is func(e *entry) bool) *entry {
	e := b.entries.at(b.inodes.at(dir).data)
	for !is(e) {
		e = b.entries.at(e.next)
	}
	return e
}

// dirBlocks splits the sorted entries of a directory into blocks: each the first entry,
// how many there are, and the bytes that they and their names need.
func (b *Builder) dirBlocks(dir uint32, block func(first uint32, count, used int) error) error {
	first, count, used := b.inodes.at(dir).data, 0, 0
	for e := first; e != noEntry; e = b.entries.at(e).next {
		need := direntSize + len(b.name(e))
		if used+need > BlockSize {
			if err := block(first, count, used); err != nil {
				return err
			}
			first, count, used = e, 0, 0
		}
		count++
		used += need
	}
	return block(first, count, used)
}

// dirSize is the size of a directory: whole blocks, and what the last one uses.
func (b *Builder) dirSize(dir uint32) (size int64) {
	last := 0
	// The function cannot fail.
	_ = b.dirBlocks(dir, func(_ uint32, _, used int) error {
		size, last = size+BlockSize, used
		return nil
	})
	return size - BlockSize + int64(last)
}
