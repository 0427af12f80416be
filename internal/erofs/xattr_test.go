package erofs_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/internal/erofs"
)

func TestXattrs(t *testing.T) {
	t.Parallel()
	acl := "\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x04\x00\x04\x00\xff\xff\xff\xff\x20\x00\x04\x00\xff\xff\xff\xff"
	capability := "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	label := "system_u:object_r:container_ro_file_t:s0\x00"
	tr := tree{
		"acl":    regular("x").xattr("system.posix_acl_access", acl),
		"acldir": dir().xattr("system.posix_acl_default", acl).xattr("system.posix_acl_access", acl),
		"ping":   regular("x").xattr("security.capability", capability),
		"opaque": dir().xattr("trusted.overlay.opaque", "y"),
		"empty":  regular("x").xattr("user.empty", ""),
		"long":   regular("x").xattr("user."+strings.Repeat("n", 250), "value"),
		"binary": regular("x").xattr("user.bytes", "\x00\xff\x00"),
		// All of these are kept behind their inode, and are larger than a block.
		"max":          regular(string(pattern(1000, 5))).xattr("trusted.big", string(pattern(65_535, 1))),
		"three":        regular(string(pattern(6000, 6))).at(time.Unix(9, 9)),
		"maxdir/in it": regular("y"),
		"maxdir":       dir().xattr("user.big", string(pattern(60_001, 2))),
	}
	for i := range 3 {
		tr["three"].xattr(fmt.Sprint("trusted.", i), string(pattern(60_000+i, uint64(i))))
	}
	for i := range 300 {
		tr[fmt.Sprintf("labelled/%d", i)] = regular("x").xattr("security.selinux", label).xattr("user.n", fmt.Sprint(i%40))
		// More common attributes than an inode can share.
		for _, name := range []string{"crowd/1", "crowd/2", "crowd/3"} {
			if tr[name] == nil {
				tr[name] = regular(string(pattern(300, 1)))
			}
			tr[name].xattr(fmt.Sprintf("user.%03d", i), strings.Repeat("v", i%7))
		}
	}
	tr.parents()
	check(t, tr, tr.build(t, nil))
}

// TestXattrSizes moves a tail through all positions that attributes can give it.
func TestXattrSizes(t *testing.T) {
	t.Parallel()
	tr := tree{}
	for n := 0; n < 9000; n += 61 {
		value := string(pattern(n, uint64(n)))
		tr[fmt.Sprintf("file %d", n)] = regular(string(pattern(2000+n%3*4096, uint64(n)))).xattr("user.a", value)
		tr[fmt.Sprintf("link %d", n)] = symlink(strings.Repeat("x", 1+n%4095)).xattr("trusted.a", value)
		tr[fmt.Sprintf("dir %d/%0250d", n, 1)] = regular("").xattr("trusted.b", value)
		tr[fmt.Sprintf("dir %d", n)] = dir().xattr("user.d", value)
	}
	tr.parents()
	check(t, tr, tr.build(t, nil))
}

func TestXattrLimits(t *testing.T) {
	t.Parallel()
	b, _ := builder(t, withSpool(t))
	five := map[string]string{}
	for i := range 5 {
		five[fmt.Sprint("user.", i)] = strings.Repeat("x", 1<<16-1)
	}
	if _, err := b.Dir(erofs.Root, "x", erofs.Attr{Xattrs: five}); !errors.Is(err, erofs.ErrXattr) {
		t.Errorf("more than an inode can have: %v", err)
	}
	var err error
	for i := 0; err == nil && i < 2000; i++ {
		value := fmt.Sprintf("%065535d", i)
		_, err = b.File(erofs.Root, fmt.Sprint(i), erofs.Attr{Xattrs: map[string]string{"user.a": value}}, 0)
	}
	if !errors.Is(err, erofs.ErrLimit) {
		t.Errorf("130 MB of distinct attributes: %v", err)
	}
	b, _ = builder(t, withSpool(t))
	for i := range 1_000_000 {
		if _, err = b.File(erofs.Root, "x", erofs.Attr{Xattrs: map[string]string{"user.a": fmt.Sprint(i)}}, 0); err != nil {
			break
		}
	}
	if !errors.Is(err, erofs.ErrLimit) {
		t.Errorf("a million short attributes: %v", err)
	}
}
