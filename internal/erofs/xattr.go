package erofs

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
)

const (
	xattrHeader  = 12 // struct erofs_xattr_ibody_header
	xattrUnit    = 4
	maxShared    = 255                               // h_shared_count has 8 bits
	maxXattrBody = xattrHeader + (1<<16-2)*xattrUnit // i_xattr_icount has 16 bits
	maxXattrs    = 64 << 20                          // bytes of distinct attributes and sets
	xattrCost    = 96                                // bytes that one takes besides its own
)

// xattrPrefix is the e_name_index of a namespace, and what of the name is kept: a
// POSIX ACL has no name of its own.
func xattrPrefix(name string) (index byte, rest string, ok bool) {
	const aclAccess, aclDefault = 2, 3
	for i, space := range []string{
		1: "user.", aclAccess: "system.posix_acl_access", aclDefault: "system.posix_acl_default", 4: "trusted.", 6: "security.",
	} {
		if rest, ok = strings.CutPrefix(name, space); ok && space != "" {
			named := i != aclAccess && i != aclDefault
			return byte(i), rest, named == (rest != "") && len(rest) <= maxName && !strings.Contains(rest, "\x00")
		}
	}
	return 0, "", false
}

// encodeXattr is struct erofs_xattr_entry with name and value.
func encodeXattr(name, value string) (string, error) {
	index, rest, ok := xattrPrefix(name)
	if !ok {
		return "", fmt.Errorf("%w: name %q", ErrXattr, name)
	}
	if len(value) > 1<<16-1 {
		return "", fmt.Errorf("%w: %s has %d bytes", ErrXattr, name, len(value))
	}
	b := make([]byte, 4, roundUp(4+len(rest)+len(value), xattrUnit))
	b[0], b[1] = byte(len(rest)), index
	binary.LittleEndian.PutUint16(b[2:], uint16(len(value)))
	b = append(append(b, rest...), value...)
	return string(b[:cap(b)]), nil
}

// xattrs keeps the distinct sets of attributes of the inodes. Set 0 is the empty one.
type xattrs struct {
	entries []string          // encoded
	byEntry map[string]uint32 // index in entries
	sets    []xattrSet
	bySet   map[string]uint32 // index in sets, by the entries' indexes
	bytes   int
	shared  []byte // the area of shared attributes, after plan
}

type xattrSet struct {
	entries []uint32
	inodes  int    // how many inodes have the set
	body    []byte // what follows those inodes, after plan
}

func newXattrs() *xattrs {
	return &xattrs{byEntry: map[string]uint32{}, bySet: map[string]uint32{}, sets: make([]xattrSet, 1)}
}

// add counts an inode with a set of attributes and returns the set's index.
func (x *xattrs) add(attrs map[string]string) (uint32, error) {
	if len(attrs) == 0 {
		return 0, nil
	}
	ids := make([]uint32, 0, len(attrs))
	total := xattrHeader
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		entry, err := encodeXattr(name, attrs[name])
		if err != nil {
			return 0, err
		}
		total += len(entry)
		id, ok := x.byEntry[entry]
		if !ok {
			if err := x.take(len(entry)); err != nil {
				return 0, err
			}
			id = uint32(len(x.entries))
			x.entries = append(x.entries, entry)
			x.byEntry[entry] = id
		}
		ids = append(ids, id)
	}
	if total > maxXattrBody {
		return 0, fmt.Errorf("%w: %d bytes for one inode", ErrXattr, total)
	}
	slices.SortFunc(ids, func(a, b uint32) int { return strings.Compare(x.entries[a], x.entries[b]) })
	key := make([]byte, 0, 4*len(ids))
	for _, id := range ids {
		key = binary.LittleEndian.AppendUint32(key, id)
	}
	set, ok := x.bySet[string(key)]
	if !ok {
		if err := x.take(len(key)); err != nil {
			return 0, err
		}
		set = uint32(len(x.sets))
		x.sets = append(x.sets, xattrSet{entries: ids})
		x.bySet[string(key)] = set
	}
	x.sets[set].inodes++
	return set, nil
}

// drop counts an inode less with a set.
func (x *xattrs) drop(set uint32) {
	if set != 0 {
		x.sets[set].inodes--
	}
}

// take accounts for the memory of n bytes that are new.
func (x *xattrs) take(n int) error {
	if x.bytes += n + xattrCost; x.bytes > maxXattrs {
		return fmt.Errorf("extended attributes: %w", ErrLimit)
	}
	return nil
}

// plan decides what is shared, and lays out the shared area and the body of each set.
// An attribute that two inodes have is shared where it fits a block: readers other
// than the kernel want it so, and larger ones are rare.
func (x *xattrs) plan() {
	uses := make([]int, len(x.entries))
	for _, set := range x.sets {
		for _, id := range set.entries {
			uses[id] += set.inodes
		}
	}
	order := make([]uint32, 0, len(x.entries))
	for id, n := range uses {
		if n >= 2 && len(x.entries[id]) <= BlockSize {
			order = append(order, uint32(id))
		}
	}
	slices.SortFunc(order, func(a, b uint32) int { return strings.Compare(x.entries[a], x.entries[b]) })
	place := make(map[uint32]uint32, len(order))
	for _, id := range order {
		place[id] = uint32(len(x.shared) / xattrUnit)
		x.shared = append(x.shared, x.entries[id]...)
	}
	for i := range x.sets[1:] {
		set := &x.sets[1+i]
		set.body = x.body(set.entries, place)
	}
}

// body is struct erofs_xattr_ibody_header and what follows it.
func (x *xattrs) body(ids []uint32, place map[uint32]uint32) []byte {
	head := make([]byte, xattrHeader)
	var inline []byte
	for _, id := range ids {
		if at, ok := place[id]; ok && head[4] < maxShared {
			head[4]++
			head = binary.LittleEndian.AppendUint32(head, at)
		} else {
			inline = append(inline, x.entries[id]...)
		}
	}
	return append(head, inline...)
}
