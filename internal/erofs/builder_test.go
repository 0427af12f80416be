package erofs_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/erofs"
)

func TestTrees(t *testing.T) {
	t.Parallel()
	hard := regular("one inode, three names").at(time.Unix(5, 6))
	odd := time.Unix(1_234_567_890, 987_654_321)
	long := strings.Repeat("n", 255)
	for name, tr := range map[string]tree{
		"empty": {},
		"kinds": {
			"file":    regular("hello").at(odd),
			"empty":   regular(""),
			"link":    symlink("dir/file"),
			"dangle":  symlink("/no/such/place").at(odd),
			"dir/sub": dir().at(odd),
			"null":    {mode: typeChr | 0o666, mtime: epoch, dev: erofs.Dev{Major: 1, Minor: 3}},
			"disk":    {mode: typeBlk | 0o660, mtime: odd, dev: erofs.Dev{Major: 4095, Minor: 1<<20 - 1}},
			"white":   {mode: typeChr, mtime: odd},
			"fifo":    {mode: typeFIFO | 0o600, mtime: odd},
			"socket":  {mode: typeSock | 0o755, mtime: epoch},
		},
		"attributes": {
			".":       {mode: typeDir | 0o1777, uid: 7, gid: 8, mtime: odd, xattrs: map[string]string{"user.root": "yes"}},
			"suid":    {mode: typeReg | 0o6755, mtime: epoch},
			"uid":     {mode: typeReg | 0o600, uid: 1 << 16, mtime: epoch},
			"gid":     {mode: typeReg | 0o600, gid: 1<<32 - 2, mtime: epoch},
			"nobody":  {mode: typeReg | 0o600, uid: 65535, gid: 65534, mtime: epoch},
			"before":  regular("1969").at(time.Unix(-1, 999_999_999)),
			"far":     regular("year 3000").at(time.Unix(32_503_680_000, 1)),
			"nsec":    regular("same second").at(epoch.Add(1)),
			"sticky":  {mode: typeDir | 0o1777, uid: 100_000, gid: 100_000, mtime: odd},
			"sgid":    {mode: typeDir | 0o2750, mtime: epoch},
			"nothing": {mode: typeReg, mtime: epoch},
		},
		"hard links": {"a": hard, "b/c": hard, "b/d": hard, "b/e": hard, "z": regular("alone")},
		"same content": {
			"a": regular(string(pattern(9000, 1))), "b": regular(string(pattern(9000, 1))).at(odd),
			"c": regular(string(pattern(100, 1))), "d": regular(string(pattern(100, 1))),
		},
		"names": {
			long: regular("long"), long[:254] + "o/" + long + "/" + long: regular("deep"),
			"!before the dot": regular("!"), "+": regular("+"), "-": dir(), "...": regular("dots"), "..a": regular(""), ".hidden": regular(""),
			"ünïcode 文件": regular("x"), "not utf-8 \xff\xfe": regular("x"), "\x01": regular("control"), "new\nline": regular("x"),
		},
		"symlinks": {
			"1": symlink("x"), "59": symlink(strings.Repeat("a", 59)), "60": symlink(strings.Repeat("b", 60)),
			"4000": symlink(strings.Repeat("c", 4000)), "4064": symlink(strings.Repeat("d", 4064)),
			"4065": symlink(strings.Repeat("e", 4065)), "4095": symlink(strings.Repeat("f", 4095)).at(odd),
			"with xattrs": symlink(strings.Repeat("g", 2000)).xattr("trusted.big", strings.Repeat("x", 3000)),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr.parents()
			check(t, tr, tr.build(t, nil))
		})
	}
}

// TestSizes has files around every border of the layouts.
func TestSizes(t *testing.T) {
	t.Parallel()
	tr := tree{}
	for _, blocks := range []int{0, 1, 2, 3, 300} {
		for _, rest := range []int{0, 1, 7, 8, 9, 31, 32, 2047, erofs.TailMax, erofs.TailMax + 1, 4000, 4032, 4064, 4095} {
			size := blocks*erofs.BlockSize + rest
			f := regular(string(pattern(size, uint64(size))))
			if size%3 == 0 {
				f.at(time.Unix(int64(size), 0))
			}
			tr[fmt.Sprintf("%d/%d", blocks, size)] = f
		}
	}
	tr.parents()
	check(t, tr, tr.build(t, nil))
}

// TestDirectories has directories of sizes around the borders of blocks.
func TestDirectories(t *testing.T) {
	t.Parallel()
	tr := tree{}
	for n := range 70 {
		for i := range n {
			// Entries of 64 bytes: 63 of them, "." and ".." need 4,059 bytes.
			tr[fmt.Sprintf("d%d/%052d", n, i)] = regular("")
		}
		tr[fmt.Sprintf("d%d", n)] = dir()
	}
	for pad := range 80 {
		d := fmt.Sprintf("e%d", pad)
		for i := range 62 {
			tr[fmt.Sprintf("%s/%052d", d, i)] = regular("")
		}
		tr[d+"/z"+strings.Repeat("z", pad)] = regular("")
		if pad%2 == 0 {
			tr[d] = dir().at(time.Unix(1, 0)).xattr("user.x", strings.Repeat("y", pad))
		}
	}
	tr.parents()
	check(t, tr, tr.build(t, nil))
}

func TestManyEntries(t *testing.T) {
	t.Parallel()
	tr := tree{}
	for i := range 100_000 {
		tr[fmt.Sprintf("big/entry-%d", i)] = regular("")
	}
	deep := "deep"
	for i := range 350 { // fsck.erofs 1.5 runs out of its stack below 700
		deep += "/" + fmt.Sprint(i)
	}
	tr[deep+"/file"] = regular("bottom")
	tr.parents()
	check(t, tr, tr.build(t, nil))
}

// TestNlink has more links and more subdirectories than a compact inode can count.
func TestNlink(t *testing.T) {
	t.Parallel()
	const count = 66_000
	many := regular("many names")
	tr := tree{}
	for i := range count {
		tr[fmt.Sprintf("links/%d", i)] = many
		tr[fmt.Sprintf("dirs/%d", i)] = dir()
	}
	tr.parents()
	point := mount(t, tr.build(t, nil))
	for p, want := range map[string]uint64{".": 4, "links": 2, "links/0": count, "links/65999": count, "dirs": count + 2, "dirs/7": 2} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(point, p), &st); err != nil || st.Nlink != want {
			t.Errorf("%s has %d links, want %d (%v)", p, st.Nlink, want, err)
		}
	}
}

// TestDeterminism builds one tree in several orders.
func TestDeterminism(t *testing.T) {
	t.Parallel()
	tr := random(1, 400)
	want, err := os.ReadFile(tr.build(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(4) {
		r := source{seed: seed}
		got, err := os.ReadFile(tr.build(t, r.shuffle))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("order %d gives another image (%v)", seed, err)
		}
	}
	reversed, err := os.ReadFile(tr.build(t, slices.Reverse[[]string]))
	if err != nil || !bytes.Equal(reversed, want) {
		t.Errorf("the reverse order gives another image (%v)", err)
	}
}

func TestRandomTrees(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			tr := random(seed, 300)
			check(t, tr, tr.build(t, nil))
		})
	}
}
