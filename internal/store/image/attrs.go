package image

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"
)

// opened are the extended attributes of the node that is worked on.
type opened struct {
	node    *node
	attrs   map[string]string
	changed bool
	// What was packed last: most files with attributes have the same ones.
	packed string
	number uint32
}

// xattrs returns the extended attributes of n. They must not be changed.
func (t *tree) xattrs(n *node) map[string]string {
	if t.opened.node == n {
		return t.opened.attrs
	}
	if n.xattrs == 0 {
		return nil
	}
	attrs := make(map[string]string)
	for rest := string(t.texts.at(n.xattrs)); rest != ""; {
		var name string
		name, rest = cutPacked(rest)
		attrs[name], rest = cutPacked(rest)
	}
	return attrs
}

func cutPacked(b string) (text, rest string) {
	n, head := binary.Uvarint([]byte(b[:min(len(b), binary.MaxVarintLen32)]))
	end := head + int(n)
	return b[head:end], b[end:]
}

// xattr returns one of them.
func (t *tree) xattr(n *node, name string) string {
	if n.xattrs == 0 && t.opened.node != n {
		return ""
	}
	return t.xattrs(n)[name]
}

// keep sets an extended attribute, and drop takes one away. What is kept are copies, as
// they may be small parts of long pax records.
func (t *tree) keep(n *node, name, value string) error {
	if err := t.open(n); err != nil {
		return err
	}
	if t.opened.attrs == nil {
		t.opened.attrs = make(map[string]string)
	}
	t.opened.attrs[strings.Clone(name)], t.opened.changed = strings.Clone(value), true
	return nil
}

func (t *tree) drop(n *node, name string) error {
	if t.xattr(n, name) == "" {
		if _, ok := t.xattrs(n)[name]; !ok {
			return nil
		}
	}
	if err := t.open(n); err != nil {
		return err
	}
	delete(t.opened.attrs, name)
	t.opened.changed = true
	return nil
}

// open makes n the node that is worked on.
func (t *tree) open(n *node) error {
	if t.opened.node == n {
		return nil
	}
	if err := t.pack(); err != nil {
		return err
	}
	t.opened.attrs, t.opened.node, t.opened.changed = t.xattrs(n), n, false
	return nil
}

// pack puts the attributes of the node that is worked on away.
func (t *tree) pack() error {
	o := &t.opened
	n, attrs := o.node, o.attrs
	o.node, o.attrs = nil, nil
	if n == nil || !o.changed {
		return nil
	}
	if n.xattrs = 0; len(attrs) == 0 {
		return nil
	}
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		for _, text := range []string{name, attrs[name]} {
			b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
		}
	}
	if string(b) != o.packed {
		number, err := t.texts.add(t.memory, string(b))
		if err != nil {
			return err
		}
		o.packed, o.number = string(b), number
	}
	n.xattrs = o.number
	return nil
}
