package image

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/nodeseal/nodeseal/bundle/layerrules"
	"github.com/nodeseal/nodeseal/internal/store/extract"
	"github.com/vbatts/tar-split/archive/tar"
	"golang.org/x/sys/unix"
)

// maxXattr is the longest value of EROFS; Linux has one byte more.
const maxXattr = 1<<16 - 1

// setXattrs sets the extended attributes of the header. What no kernel would keep
// is left out, as package extract does.
func (t *tree) setXattrs(n *node, hdr *tar.Header) error {
	for name, value := range layerrules.Xattrs(hdr.PAXRecords) {
		err := t.setXattr(n, name, value)
		switch {
		case err == nil, errors.Is(err, unix.ENOTSUP):
		case errors.Is(err, unix.EPERM):
			return fmt.Errorf("extended attribute %s: %w", name, extract.ErrType)
		default:
			return fmt.Errorf("extended attribute %s: %w", name, err)
		}
	}
	return nil
}

// setXattr is setxattr of the kernel.
func (t *tree) setXattr(n *node, name, value string) error {
	space, rest, _ := strings.Cut(name, ".")
	switch {
	case strings.Contains(name, "\x00"):
		return unix.EINVAL
	case name == "" || len(name) > maxName:
		return unix.ERANGE
	case len(value) > maxXattr:
		return unix.E2BIG
	case name == aclAccess || name == aclDefault:
		return t.setACL(n, name, value)
	case space == "user" && n.kind != unix.S_IFREG && !n.dir():
		return unix.EPERM
	case space != "user" && space != "trusted" && space != "security":
		return unix.ENOTSUP
	case rest == "":
		return unix.EINVAL
	case name == "security.capability" && value != "" && !validCapability(value):
		return unix.EINVAL
	}
	return t.keep(n, name, value)
}

// validCapability looks at the version and the length (struct vfs_ns_cap_data).
func validCapability(value string) bool {
	if len(value) < 4 {
		return false
	}
	version := binary.LittleEndian.Uint32([]byte(value)) >> 24
	return version == 2 && len(value) == 20 || version == 3 && len(value) == 24
}
