package storetest

import (
	"archive/tar"
	"strings"
	"testing"
	"time"
)

// capNetRaw is security.capability of version 2: cap_net_raw=ep.
const capNetRaw = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// capRootID is of version 3, with a root of its own.
const capRootID = "\x01\x00\x00\x03\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10\x27\x00\x00"

// Everything are the layers of an image that has all that layers can have.
func Everything(t testing.TB) [][]byte {
	long := strings.Repeat("long-name-", 24)
	at := func(ns int64) func(*tar.Header) {
		return func(h *tar.Header) { h.ModTime = time.Unix(1_600_000_000, ns) }
	}
	base := []Entry{
		Dir("./"),
		Dir("etc/").Perm(0o755).With(at(1)),
		File("etc/passwd", "root:x:0:0\n").With(at(2)),
		File("etc/shadow", "root:!:\n").Perm(0).Owner(0, 42),
		Dir("usr/"), Dir("usr/bin/"),
		File("usr/bin/su", strings.Repeat("su", 5000)).Perm(0o4755),
		File("usr/bin/wall", "wall").Perm(0o2755).Owner(0, 5),
		File("usr/bin/ping", "ping").Perm(0o755).Xattr("security.capability", capNetRaw),
		File("usr/bin/ping3", "ping").Owner(1000, 1000).Perm(0o755).Xattr("security.capability", capRootID),
		Link("usr/bin/ping-again", "usr/bin/ping3").Owner(1000, 1000).Perm(0o755).Xattr("security.capability", capRootID),
		Symlink("bin", "usr/bin").Owner(3, 4).With(at(3)),
		Symlink("abs", "/usr/bin"),
		Symlink("out", "../../../../etc"),
		Symlink("dangling", "/nowhere"),
		Dir("tmp/").Perm(0o1777),
		Dir("setgid/").Perm(0o2775).Owner(0, 50),
		File("setgid/inherits", "root's own group"),
		Dir("setgid/sub/").Perm(0o755),
		Dir("setgid-root/").Perm(0o2755), Dir("setgid-root/sub/").Perm(0o755),
		Device("dev-null", 1, 3).Perm(0o666).Owner(0, 6),
		{Header: tar.Header{Typeflag: tar.TypeBlock, Name: "loop0", Mode: 0o660, Devmajor: 7}},
		{Header: tar.Header{Typeflag: tar.TypeFifo, Name: "fifo", Mode: 0o640, Uid: 11}},
		File("user-xattr", "x").Xattr("user.colour", "blue\x00green"),
		Dir("dir-xattr").Xattr("user.kind", "folder").Xattr("trusted.mine", "t"),
		File("selinux", "label is not the image's").Xattr("security.selinux", "system_u:object_r:usr_t:s0"),
		Dir(long), Dir(long + "/" + long), File(long+"/"+long+"/"+long, "far"),
		Dir("ünï"), File("ünï/cödé-文字", "utf-8"),
		File("latin-\xe9", "not utf-8"),
		File("with\nnewline and space ", "odd"),
		File("empty", ""),
		File("atime", "x").With(func(h *tar.Header) { h.AccessTime = time.Unix(1_800_000_000, 77) }),
		Dir("gone/"), File("gone/file", "x"), Dir("opaque/"), File("opaque/below", "x"),
		File("big", strings.Repeat("0123456789abcdef", 200_000)),
	}
	middle := []Entry{
		File(".wh.gone", ""), File("gone/.wh.file", ""),
		Dir("opaque/"), File("opaque/.wh..wh..opq", ""), File("opaque/new", "n"),
		Dir("usr/"), Dir("usr/bin/"), File("usr/bin/.wh.su", "").Owner(12, 13),
		File(".wh.back", ""), Dir("back/"), File("back/again", "b"),
	}
	last := []Entry{File("last", "on top")}
	return [][]byte{Tar(t, base...), Tar(t, middle...), Tar(t, last...)}
}

// Strange are layers that the library takes, but cannot give back as tars, or
// not check.
func Strange(t testing.TB) [][]byte {
	later := func(h *tar.Header) { h.ModTime = Epoch.Add(time.Hour) }
	odd := Tar(t,
		Dir("etc/"), Dir("usr/bin/"), File("usr/bin/wall", "wall").Perm(0o2755).Owner(0, 5),
		Symlink("abs", "/usr/bin"), Symlink("out", "../../../../etc"),
		Symlink("bin", "usr/bin"), Symlink("dangling", "/nowhere"),
		Dir("setgid/").Perm(0o2775).Owner(0, 50),
		File("implied-opaque/.wh..wh..opq", ""), File(".wh..wh.plnk/1.2", "aufs"),
		File("old", "x").With(func(h *tar.Header) { h.ModTime = time.Unix(-5, 0) }),
		Symlink("old-link", "x").With(func(h *tar.Header) { h.ModTime = time.Unix(-5, 0) }),
		Link("linked-symlink", "dangling").Owner(9, 9),
		File("bin/through-link", "in usr/bin"),
		File("setgid/implied/file", "a"),
		File("/leading/slash", "gone"),
		File("implied/parents/of/this", "x"),
		File("abs/through-absolute-link", "in usr/bin"),
		File("out/inside-after-all", "the layer's own etc"),
		File("replaced", "first"), File("/replaced", "second"),
		File("was-file", "f"), Dir("/was-file/"), File("was-file/now", "dir"),
		Dir("was-dir/"), File("was-dir/a/b", "x"), Symlink("/was-dir", "etc"),
		File("linked", "one"), Link("linked-2", "linked"), File("/linked", "another"),
		Dir("late/").Perm(0o700), File("late/f", "f"), Dir("/late/").Perm(0o750).Owner(5, 5).With(later),
		Link("usr/bin/other-owner", "/usr/bin/wall").Owner(7, 8).Perm(0o700).With(later),
	)
	root := Tar(t, Dir("/").Perm(0o1773).Owner(21, 22).Xattr("user.root", "r"), File("top", "t"))
	under := Tar(t, File("last", "inherits the root's attributes"))
	return [][]byte{odd, Tar(t), root, under}
}

// Images adds images to src that show everything a store can hold.
func Images(t testing.TB, src *Source) {
	all := Everything(t)
	src.Add(Image{Repository: "quay.io/a/everything", Compression: "gzip", Layers: all, Created: "2024-02-03T04:05:06.789Z"})
	src.Add(Image{Repository: "quay.io/b/shares", Compression: "zstd", Layers: [][]byte{all[2], all[0], all[1]}, Created: "2023-01-01T00:00:00+02:00", Index: true})
	src.Add(Image{Repository: "quay.io/c/plain", Layers: [][]byte{Tar(t, File("a", "b")), all[2], all[0]}, Tags: []string{"latest"}, Created: "2023-01-01T00:00:00Z"})
	src.Add(Image{Repository: "quay.io/d/twin", Layers: all[:1], Compression: "gzip", Created: "2023-01-01T00:00:00Z", Annotation: "one"})
	src.Add(Image{Repository: "quay.io/e/twin", Layers: all[:1], Compression: "gzip", Created: "2023-01-01T00:00:00Z", Annotation: "two"})
	src.Add(Image{Repository: "quay.io/f/nothing", Created: "2023-01-01T00:00:00Z"})
}
