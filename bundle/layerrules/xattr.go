package layerrules

import (
	"encoding/binary"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// paxXattr starts the names of pax records that carry extended attributes.
const paxXattr = "SCHILY.xattr."

// Bounds of extended attributes. Linux takes one byte more of a value; a store image
// has 16 bits for its length.
const (
	maxValue = 1<<16 - 1
	maxAttrs = 4 * (1<<16 - 2) // of one file, as a store image counts
)

// Names of POSIX access control lists.
const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

// Xattrs yields the extended attributes of a member's pax records, by name, but for
// the label: that is the node's business, not the image's.
func Xattrs(records map[string]string) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		if len(records) == 0 {
			return
		}
		for _, key := range slices.Sorted(maps.Keys(records)) {
			name, ok := strings.CutPrefix(key, paxXattr)
			if ok && name != "security.selinux" && !yield(name, records[key]) {
				return
			}
		}
	}
}

// Supported reports whether Linux has a place for an extended attribute of that name.
// One that it has not is left out, as containers/storage does.
func Supported(name string) bool {
	space, _, _ := strings.Cut(name, ".")
	return space == "user" || space == "trusted" || space == "security" || name == aclAccess || name == aclDefault
}

// attributes checks the extended attributes that a member gives a file.
func (c *Checker) attributes(f File, m *Member) error {
	for name, value := range Xattrs(m.PAXRecords) {
		if err := c.attribute(f, name, value); err != nil {
			if len(name) > maxName {
				name = name[:maxName] + "..."
			}
			return fmt.Errorf("%w: %s: %w", ErrXattr, name, err)
		}
	}
	return nil
}

type reason string

func (r reason) Error() string { return string(r) }

func (c *Checker) attribute(f File, name, value string) error {
	_, rest, _ := strings.Cut(name, ".")
	k := c.kinds[f]
	switch {
	case strings.Contains(name, "\x00") || name == "":
		return reason("it has no valid name")
	case len(name) > maxName:
		return reason(fmt.Sprintf("its name has %d bytes, more than %d", len(name), maxName))
	case len(value) > maxValue:
		return reason(fmt.Sprintf("it has %d bytes, more than %d", len(value), maxValue))
	case name == aclAccess || name == aclDefault:
		if err := checkACL(k, name, value); err != nil {
			return err
		}
	case !Supported(name):
		return nil
	case rest == "":
		return reason("it has no valid name")
	case strings.HasPrefix(name, "user.") && (k == kindLink || k == kindOther):
		return reason("only files and directories can have one of a user")
	case name == "security.capability" && value != "" && !validCapability(value):
		return reason("its value is no capability")
	}
	return c.account(f, name, value)
}

// account bounds the attributes of one file, which several hard links may give.
func (c *Checker) account(f File, name, value string) error {
	const header = 12
	size := (4 + len(name) + len(value) + 3) &^ 3
	key := c.hash(f, name)
	if _, ok := c.attrs[f]; !ok {
		if err := c.keep(64); err != nil {
			return err
		}
	}
	if _, ok := c.each[key]; !ok {
		if err := c.keep(64); err != nil {
			return err
		}
	}
	c.attrs[f] += size - c.each[key]
	c.each[key] = size
	if n := c.attrs[f] + header; n > maxAttrs {
		return reason(fmt.Sprintf("those of the file have %d bytes together, more than %d", n, maxAttrs))
	}
	return nil
}

// validCapability looks at the version and the length (struct vfs_ns_cap_data).
func validCapability(value string) bool {
	if len(value) < 4 {
		return false
	}
	version := binary.LittleEndian.Uint32([]byte(value)) >> 24
	return version == 2 && len(value) == 20 || version == 3 && len(value) == 24
}

// checkACL checks an access control list as the kernel does (fs/posix_acl.c).
func checkACL(k kind, name, value string) error {
	tags, err := aclTags(value)
	switch {
	case err != nil:
		return err
	case k != kindDir && k != kindLink && name == aclDefault && tags != "":
		return reason("only a directory can have a default list")
	}
	rest, ok := strings.CutPrefix(tags, "\x01")
	trim := func(tag byte) (n int) {
		for ; rest != "" && rest[0] == tag; n++ {
			rest = rest[1:]
		}
		return n
	}
	named := trim(0x02)
	groups := trim(0x04)
	named += trim(0x08)
	masks := trim(0x10)
	if tags != "" && (!ok || groups != 1 || masks > 1 || named > 0 && masks == 0 || rest != "\x20") {
		return reason("its list is not valid")
	}
	return nil
}

// aclTags returns the tags of a list's entries.
func aclTags(value string) (string, error) {
	const version, head, entry, nobody = 2, 4, 8, 1<<32 - 1
	b := []byte(value)
	if len(b) == 0 {
		return "", nil
	}
	if len(b) < head {
		return "", reason("its list is cut short")
	}
	if binary.LittleEndian.Uint32(b) != version {
		return "", nil // of no version that Linux has: it is left out
	}
	if b = b[head:]; len(b)%entry != 0 {
		return "", reason("its list is cut short")
	}
	var tags []byte
	for ; len(b) > 0; b = b[entry:] {
		tag, perm := binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[2:])
		named := tag == 0x02 || tag == 0x08
		if tag > 0x20 || perm > 7 || named && binary.LittleEndian.Uint32(b[4:]) == nobody {
			return "", reason("its list is not valid")
		}
		tags = append(tags, byte(tag))
	}
	return string(tags), nil
}
