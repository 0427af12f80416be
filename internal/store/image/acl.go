package image

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Extended attributes that hold POSIX access control lists, with the value that
// setxattr takes (include/uapi/linux/posix_acl_xattr.h). The kernel ties them to
// the mode; what follows does as fs/posix_acl.c does.
const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"

	aclVersion = 2
	aclHeader  = 4
	aclEntry   = 8
)

// Tags of entries, in the order in which a list has them.
const (
	aclUserObj  = 0x01
	aclUser     = 0x02
	aclGroupObj = 0x04
	aclGroup    = 0x08
	aclMask     = 0x10
	aclOther    = 0x20
)

const aclNobody = 1<<32 - 1 // the ID of entries that have none

type acl []aclItem

type aclItem struct {
	tag, perm uint16
	id        uint32
}

// parseACL parses and validates a value. A nil acl without an error is none.
func parseACL(value string) (acl, error) {
	if value == "" {
		return nil, nil
	}
	b := []byte(value)
	if len(b) < aclHeader {
		return nil, unix.EINVAL
	}
	if binary.LittleEndian.Uint32(b) != aclVersion {
		return nil, unix.ENOTSUP
	}
	if b = b[aclHeader:]; len(b)%aclEntry != 0 {
		return nil, unix.EINVAL
	}
	var list acl
	for ; len(b) > 0; b = b[aclEntry:] {
		item := aclItem{
			tag: binary.LittleEndian.Uint16(b), perm: binary.LittleEndian.Uint16(b[2:]), id: binary.LittleEndian.Uint32(b[4:]),
		}
		if named := item.tag == aclUser || item.tag == aclGroup; !named {
			item.id = aclNobody
		} else if item.id == aclNobody {
			return nil, unix.EINVAL
		}
		list = append(list, item)
	}
	if len(list) > 0 && !list.valid() {
		return nil, unix.EINVAL
	}
	return list, nil
}

// valid wants the entries that a list must have, once and in their order.
func (l acl) valid() bool {
	var tags strings.Builder
	for _, item := range l {
		if item.perm&^0o7 != 0 {
			return false
		}
		fmt.Fprintf(&tags, "%02x ", item.tag)
	}
	rest, ok := strings.CutPrefix(tags.String(), "01 ")
	trim := func(tag string) (n int) {
		for strings.HasPrefix(rest, tag) {
			rest = rest[len(tag):]
			n++
		}
		return n
	}
	named := trim("02 ")
	groups := trim("04 ")
	named += trim("08 ")
	masks := trim("10 ")
	return ok && groups == 1 && masks <= 1 && (named == 0 || masks == 1) && rest == "20 "
}

func (l acl) value() string {
	b := binary.LittleEndian.AppendUint32(nil, aclVersion)
	for _, item := range l {
		b = binary.LittleEndian.AppendUint16(b, item.tag)
		b = binary.LittleEndian.AppendUint16(b, item.perm)
		b = binary.LittleEndian.AppendUint32(b, item.id)
	}
	return string(b)
}

// item returns the entry of a tag, nil where there is none.
func (l acl) item(tag uint16) *aclItem {
	for i := range l {
		if l[i].tag == tag {
			return &l[i]
		}
	}
	return nil
}

// group is the entry that the group bits of a mode stand for.
func (l acl) group() *aclItem {
	if mask := l.item(aclMask); mask != nil {
		return mask
	}
	return l.item(aclGroupObj)
}

// mode returns the permissions that the list gives.
func (l acl) mode() uint16 {
	return l.item(aclUserObj).perm<<6 | l.group().perm<<3 | l.item(aclOther).perm
}

// chmod makes the list give the permissions of mode.
func (l acl) chmod(mode uint16) {
	l.item(aclUserObj).perm = mode >> 6 & 0o7
	l.group().perm = mode >> 3 & 0o7
	l.item(aclOther).perm = mode & 0o7
}

// plain reports whether the list says no more than a mode does.
func (l acl) plain() bool { return len(l) == 3 }

// setACL gives n a list, nil for none, as setxattr does.
func (t *tree) setACL(n *node, name, value string) error {
	list, err := parseACL(value)
	switch {
	case err != nil:
		return err
	case n.kind == unix.S_IFLNK:
		return unix.ENOTSUP
	case name == aclDefault && !n.dir():
		if list != nil {
			return unix.EACCES
		}
		return nil
	}
	if name == aclAccess && list != nil {
		n.mode = n.mode&^0o777 | list.mode()
	}
	if list == nil || name == aclAccess && list.plain() {
		return t.drop(n, name)
	}
	return t.keep(n, name, list.value())
}

// chmod sets the mode, and what of the access list stands for it.
func (t *tree) chmod(n *node, mode uint16) error {
	n.mode = mode
	if list, err := parseACL(t.xattr(n, aclAccess)); err == nil && list != nil {
		list.chmod(mode)
		return t.keep(n, aclAccess, list.value())
	}
	return nil
}

// inherit makes n, which has its first mode, a new file of the directory parent.
func (t *tree) inherit(n, parent *node) error {
	list, err := parseACL(t.xattr(parent, aclDefault))
	if err != nil || list == nil || n.kind == unix.S_IFLNK {
		return nil
	}
	if n.dir() {
		if err := t.keep(n, aclDefault, list.value()); err != nil {
			return err
		}
	}
	list.chmod(list.mode() & n.mode)
	n.mode = n.mode&^0o777 | list.mode()
	if !list.plain() {
		return t.keep(n, aclAccess, list.value())
	}
	return nil
}
