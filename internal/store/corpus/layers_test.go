//go:build corpus

package corpus_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/nodeseal/nodeseal/internal/store/storetest"
)

// layerCase is one layer.
type layerCase struct {
	group, name string
	layer       []byte
}

// layers are the layers of the corpus.
func layers(t testing.TB) []layerCase {
	t.Helper()
	var out []layerCase
	group := ""
	add := func(name string, entries ...Entry) {
		out = append(out, layerCase{group: group, name: name, layer: Tar(t, entries...)})
	}
	raw := func(name string, layer []byte) { out = append(out, layerCase{group: group, name: name, layer: layer}) }
	long := func(n int) string { return strings.Repeat("n", n) }

	group = "members"
	add("no members")
	add("regular, directory, links", Dir("d/"), File("d/f", "x"), Symlink("s", "d/f"), Link("h", "d/f"))
	add("character device", Device("null", 1, 3))
	add("block device", Entry{Header: tar.Header{Typeflag: tar.TypeBlock, Name: "loop", Devmajor: 7}})
	add("FIFO", Entry{Header: tar.Header{Typeflag: tar.TypeFifo, Name: "fifo", Mode: 0o600}})
	add("contiguous file", Entry{Header: tar.Header{Typeflag: tar.TypeCont, Name: "c"}})
	add("unknown type", Entry{Header: tar.Header{Typeflag: 'Z', Name: "z"}})
	raw("GNU sparse, old format", gnuSparse(t))
	raw("sparse, pax 0.1", paxSparse(t, map[string]string{"GNU.sparse.numblocks": "1", "GNU.sparse.map": "0,1", "GNU.sparse.size": "4096"}, "x"))
	raw("sparse, pax 1.0", paxSparse(t, map[string]string{"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "hole", "GNU.sparse.realsize": "4096"}, padded("1\n0\n1\n")+"x"))
	raw("global header", globalHeader(t))
	add("file twice", File("a", "1"), File("a", "2"))
	add("directory twice", Dir("a"), Dir("a"))
	add("file twice, one with ./", File("a", "1"), File("./a", "2"))
	add("file twice, one with /", File("a", "1"), File("/a", "2"))
	add("directory twice, one with /", Dir("a"), Dir("/a").Perm(0o700))
	add("directory in place of a file", File("a", "1"), Dir("/a/"), File("a/b", "2"))
	add("file in place of a directory", Dir("a/"), File("a/b", "1"), File("/a", "2"))
	add("link in place of a directory", Dir("a/"), File("a/b", "1"), Symlink("/a", "c"))
	add("file in place of a link", Symlink("a", "b"), File("/a", "2"))
	add("empty file in place of an empty file", File("a", ""), File("/a", ""))
	add("listed directory below a file", Dir("a"), Dir("a/b"), File("/a", "x"))
	add("file below a file", File("f", "x"), File("f/a", "x"))
	add("file below a symbolic link", Dir("d"), Symlink("l", "d"), File("l/a", "x"))
	add("file below a link to nothing", Symlink("l", "nowhere"), File("l/a", "x"))
	add("file below a loop", Symlink("l", "l"), File("l/a", "x"))
	add("parents implied", File("a/b/c/d", "x"))
	add("large file", File("large", strings.Repeat("0123456789", 300_000)))
	add("4000 files", many(4000)...)

	group = "hard links"
	add("to an earlier file", File("a", "x"), Link("b", "a"))
	add("with a leading slash", File("a", "x"), Link("b", "/a"))
	add("to a later file", Link("a", "b"), File("b", "x"))
	add("to a lower layer's file", Link("a", "etc/passwd"))
	add("to itself", Link("a", "a"))
	add("to itself, replacing", File("/a", "x"), Link("a", "a"))
	add("to a directory", Dir("d"), Link("a", "d"))
	add("to the root", Link("a", "/"))
	add("to nothing", Link("a", ""))
	add("to the outside", Link("a", "../../etc/passwd"))
	add("to a symbolic link", Symlink("s", "x"), Link("a", "s"))
	add("to a device", Device("n", 1, 3), Link("a", "n"))
	add("through a symbolic link", Dir("d"), File("d/f", "x"), Symlink("l", "d"), Link("a", "l/f"))
	add("over what it links to", File("d/a", "x"), Link("d", "d/a"))
	add("to a replaced file", File("a", "one"), Link("b", "a"), File("/a", "another"))
	add("other owner and mode", File("a", "x"), Link("b", "a").Owner(7, 8).Perm(0o600))
	add("200 links", links(200)...)

	group = "whiteouts"
	add("of a file", File(".wh.a", ""))
	add("opaque", File("d/.wh..wh..opq", ""))
	add("opaque root", File(".wh..wh..opq", ""))
	add("opaque, with files", Dir("d"), File("d/.wh..wh..opq", ""), File("d/new", "x"))
	add("of what the layer holds", File("a", "x"), File(".wh.a", ""))
	add("before what the layer holds", File(".wh.a", ""), File("a", "x"))
	add("twice", File(".wh.a", ""), File("/.wh.a", ""))
	add("below a whiteout", File(".wh.d", ""), File("d/.wh.a", ""))
	add("without a name", File(".wh.", ""))
	add("of dot", File("d/.wh..", ""))
	add("of dots", File("d/.wh...", ""))
	add("to the outside", File("../.wh.a", ""))
	add("with data", File(".wh.a", "data"))
	add("AUFS .wh..wh.orph", Dir(".wh..wh.orph"), File(".wh..wh.aufs", "aufs"))
	add("AUFS .wh..wh.orph with data", File(".wh..wh.orph", "aufs"))
	add("AUFS .wh..wh.plnk", Dir(".wh..wh.plnk"), File(".wh..wh.plnk/1.2", "aufs"))
	add("that is a directory", Dir(".wh.a"))
	add("that is a symbolic link", Symlink(".wh.a", "x"))
	add("with an owner", File(".wh.a", "").Owner(5, 6))

	group = "names"
	add("leading slash", File("/a", "x"))
	add("leading ./", Dir("./"), File("./a", "x"))
	add("double slashes", File("a//b///c", "x"))
	add("dots inside", File("a/./b/../c", "x"))
	add("to the outside", File("../a", "x"))
	add("to the outside by detour", File("a/../../b", "x"))
	add("dots behind a slash", File("/../a", "x"))
	add("only dots", Dir(".."))
	add("255 bytes", File(long(255), "x"))
	add("256 bytes", File(long(256), "x"))
	add("path of 4095 bytes", File(strings.Repeat("d/", 2047)+"f", "x"))
	add("path of 5001 bytes", File(strings.Repeat("d/", 2500)+"f", "x"))
	add("link target of 4095 bytes", Symlink("l", long(4095)))
	add("link target of 4096 bytes", Symlink("l", long(4096)))
	add("empty link target", Symlink("l", ""))
	add("link target outside", Symlink("l", "../../../etc/passwd"))
	add("absolute link target", Symlink("l", "/etc/passwd"))
	add("file below an absolute link", Dir("etc"), Symlink("l", "/etc"), File("l/a", "x"))
	add("file below a link that leads out", Dir("etc"), Symlink("l", "../../etc"), File("l/a", "x"))
	add("not UTF-8", File("latin-\xe9", "x"))
	add("UTF-8", File("ünï/文字", "x"))
	add("newline", File("a\nb", "x"))
	add("backslash, colon, comma", File(`a\b:c,d`, "x"))
	add("control characters", File("a\x01\x7fb", "x"))
	add("spaces", File(" a ", "x"), File("-rf", "x"))
	add("directory without a slash", Dir("d"))
	add("root as /", Dir("/").Perm(0o700).Owner(1, 2), File("f", "x"))
	add("root as ./ with another mode", Dir("./").Perm(0o700).Owner(1, 2), File("f", "x"))
	add("root as a link", Symlink("/", "x"))
	add("case differs", File("a", "x"), File("A", "y"))
	add("deep", File(strings.Repeat("d/", 500)+"f", "x"))

	group = "owners and modes"
	for _, id := range []int{1, 1000, 65534, 65535, 65536, 100_000_000, 1<<31 - 1, 1 << 31, 1<<32 - 2, 1<<32 - 1} {
		add(fmt.Sprint("owner ", id), File("f", "x").Owner(id, id), Dir("d").Owner(id, id), Symlink("l", "f").Owner(id, id))
	}
	add("group 4294967295 below a set-group-ID directory", Dir("d").Perm(0o2755).Owner(0, 50), File("d/f", "x").Owner(3, 1<<32-1), Dir("d/e").Owner(1<<32-1, 1<<32-1))
	for _, mode := range []int64{0, 0o4755, 0o2755, 0o1777, 0o7777, 0o100644, 0o200000} {
		add(fmt.Sprintf("mode %o", mode), File("f", "x").Perm(mode), Dir("d").Perm(mode))
	}
	add("set-group-ID inherited", Dir("d").Perm(0o2775).Owner(0, 50), File("d/f", "x"), Dir("d/e"), File("d/i/j", "x"))

	group = "times"
	at := func(sec, nsec int64) func(*tar.Header) {
		return func(h *tar.Header) { h.ModTime = time.Unix(sec, nsec) }
	}
	for _, v := range []struct {
		name      string
		sec, nsec int64
	}{
		{"epoch", 0, 0},
		{"one nanosecond", 1, 1},
		{"before the epoch", -5, 0},
		{"1901", -1 << 31, 0},
		{"2038", 1 << 31, 0},
		{"2106", 1 << 32, 0},
		{"2262", 1<<63/1_000_000_000 - 1, 0},
		{"2500", 16_725_225_600, 0},
	} {
		set := at(v.sec, v.nsec)
		add(v.name, File("f", "x").With(set), Dir("d").With(set), Symlink("l", "f").With(set))
	}
	add("access time", File("f", "x").With(func(h *tar.Header) { h.AccessTime = time.Unix(1_900_000_000, 7) }))

	group = "extended attributes"
	add("user", File("f", "x").Xattr("user.a", "b"), Dir("d").Xattr("user.a", "b"))
	add("user, binary", File("f", "x").Xattr("user.a", "\x01\xff\x00\x02"))
	add("user, empty", File("f", "x").Xattr("user.a", ""))
	add("trusted", File("f", "x").Xattr("trusted.a", "b"))
	add("security", File("f", "x").Xattr("security.other", "b"))
	add("label", File("f", "x").Xattr("security.selinux", "system_u:object_r:usr_t:s0"))
	add("capability", File("f", "x").Xattr("security.capability", "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	add("broken capability", File("f", "x").Xattr("security.capability", "x"))
	add("com.apple.provenance", File("f", "x").Xattr("com.apple.provenance", "b"), Symlink("l", "f").Xattr("com.apple.provenance", "b"))
	add("no namespace", File("f", "x").Xattr("other", "b"))
	add("user of a symbolic link", Symlink("l", "x").Xattr("user.a", "b"))
	add("user of a device", Device("n", 1, 3).Xattr("user.a", "b"))
	add("trusted of a symbolic link", Symlink("l", "x").Xattr("trusted.a", "b"))
	add("no name", File("f", "x").Xattr("user.", "b"))
	add("name of 255 bytes", File("f", "x").Xattr("user."+long(250), "b"))
	add("name of 256 bytes", File("f", "x").Xattr("user."+long(251), "b"))
	add("3000 bytes", File("f", "x").Xattr("user.a", long(3000)))
	add("70000 bytes", File("f", "x").Xattr("user.a", long(70_000)))
	add("overlay's own", Dir("d").Xattr("trusted.overlay.opaque", "y"))

	group = "tars"
	plain := Tar(t, File("a", strings.Repeat("x", 5000)))
	raw("cut in a header", plain[:300])
	raw("cut in a content", plain[:3000])
	raw("no end", plain[:len(plain)-1024])
	raw("one block of end", plain[:len(plain)-512])
	raw("zeros behind the end", append(bytes.Clone(plain), make([]byte, 1<<20)...))
	raw("bytes behind the end", append(bytes.Clone(plain), "rubbish"...))
	raw("a second tar behind the end", append(bytes.Clone(plain), Tar(t, File("b", "y"))...))
	raw("no bytes", nil)
	raw("no tar", []byte(strings.Repeat("no tar", 500)))
	return out
}

func many(n int) (out []Entry) {
	for i := range n {
		out = append(out, File(fmt.Sprint("d", i%50, "/f", i), "x"))
	}
	return out
}

func links(n int) []Entry {
	out := []Entry{File("f", "x")}
	for i := range n {
		out = append(out, Link(fmt.Sprint("l", i), "f"))
	}
	return out
}

func padded(s string) string { return s + strings.Repeat("\x00", 512-len(s)) }

// paxSparse is a file in one of the sparse forms of pax.
func paxSparse(t testing.TB, records map[string]string, content string) []byte {
	t.Helper()
	// archive/tar writes none: the records get their names afterwards.
	renamed := make(map[string]string)
	for k, v := range records {
		renamed[strings.Replace(k, "GNU.sparse.", "GNX.sparse.", 1)] = v
	}
	e := File("GNUSparseFile.0/hole", content).With(func(h *tar.Header) { h.PAXRecords = renamed })
	return bytes.ReplaceAll(Tar(t, File("before", "x"), e, File("behind", "y")), []byte("GNX.sparse."), []byte("GNU.sparse."))
}

// gnuSparse is a file of the old sparse form: 4096 bytes, one of them kept.
func gnuSparse(t testing.TB) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "hole", Mode: 0o644, Size: 1, Format: tar.FormatGNU})
	if err == nil {
		_, err = w.Write([]byte("x"))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	b := buf.Bytes()[:512]
	b[156] = tar.TypeGNUSparse
	copy(b[386:], "00000000000\x0000000000001\x00")
	copy(b[483:], "00000010000\x00")
	copy(b[148:], "        ")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return buf.Bytes()
}

func globalHeader(t testing.TB) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "git archive"}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return append(buf.Bytes(), Tar(t, File("f", "x"))...)
}
