package extract_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle/filetable"
	"github.com/nodeseal/nodeseal/internal/memtest"
	"github.com/nodeseal/nodeseal/internal/store/extract"
	. "github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
	"github.com/opencontainers/go-digest"
	fork "github.com/vbatts/tar-split/archive/tar"
	"golang.org/x/sys/unix"
)

// unpack extracts a tar into a new directory and returns that.
func unpack(t testing.TB, plain []byte, opts extract.Options) (string, *extract.Result, error) {
	t.Helper()
	return unpackWith(t, new(extract.Extractor), plain, opts)
}

func unpackWith(t testing.TB, e *extract.Extractor, plain []byte, opts extract.Options) (string, *extract.Result, error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "diff")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	res, err := e.Layer(t.Context(), bytes.NewReader(plain), f, io.Discard, opts)
	return dir, res, err
}

func TestResult(t *testing.T) {
	testenv.NeedRoot(t)
	t.Parallel()
	plain := append(Tar(t, Dir("a/"), File("a/b", "content").Owner(7, 8), File("a/.wh.c", "").Owner(9, 9),
		Dir("/").Perm(0o700).Owner(1, 2)), make([]byte, 3<<20)...)
	_, res, err := unpack(t, plain, extract.Options{MaxSize: int64(len(plain))})
	if err != nil {
		t.Fatal(err)
	}
	if res.DiffID != digest.FromBytes(plain) || res.DiffSize != int64(len(plain)) || res.Files != 4 ||
		!slices.Equal(res.UIDs, []uint32{0, 1, 7}) || !slices.Equal(res.GIDs, []uint32{0, 2, 8}) ||
		res.Root == nil || res.Root.Mode != 0o700 || res.Root.UID != 1 || !res.Root.Modified.Equal(Epoch) {
		t.Errorf("result %+v, root %+v", res, res.Root)
	}
}

// raw returns a tar with a header as it is, which archive/tar would not write.
func raw(t testing.TB, edit func(block []byte), e Entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	e.Format, e.Size = tar.FormatGNU, int64(len(e.Content))
	if err := w.WriteHeader(&e.Header); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, e.Content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	block := buf.Bytes()[:512]
	edit(block)
	copy(block[148:], "        ")
	sum := 0
	for _, b := range block {
		sum += int(b)
	}
	copy(block[148:], fmt.Sprintf("%06o\x00 ", sum))
	return buf.Bytes()
}

func sparse(t testing.TB) []byte {
	return Tar(t, File("sparse", "x").With(func(h *tar.Header) { h.PAXRecords = nil }),
		Entry{Header: tar.Header{Typeflag: tar.TypeReg, Name: "hole", Mode: 0o644}})
}

// gnuSparse is a file of one byte that claims to be a terabyte.
func gnuSparse(t testing.TB) []byte {
	return raw(t, func(b []byte) {
		b[156] = tar.TypeGNUSparse
		copy(b[386:], "00000000000\x0000000000001\x00")
		copy(b[483:], "\x80\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00")
	}, File("hole", "x"))
}

func TestHostile(t *testing.T) {
	testenv.NeedRoot(t)
	t.Parallel()
	name255, name256 := strings.Repeat("n", 255), strings.Repeat("n", 256)
	for name, c := range map[string]struct {
		tar  []byte
		opts extract.Options
		want error
	}{
		"name up":               {tar: Tar(t, File("../canary", "x")), want: extract.ErrLeadsOut},
		"name far up":           {tar: Tar(t, File("a/../../../canary", "x")), want: extract.ErrLeadsOut},
		"name is up":            {tar: Tar(t, Dir("..")), want: extract.ErrLeadsOut},
		"whiteout up":           {tar: Tar(t, File("../.wh.canary", "")), want: extract.ErrLeadsOut},
		"opaque up":             {tar: Tar(t, File("../.wh..wh..opq", "")), want: extract.ErrLeadsOut},
		"whiteout of nothing":   {tar: Tar(t, File(".wh.", "")), want: extract.ErrWhiteout},
		"whiteout of dot":       {tar: Tar(t, File("d/.wh..", "")), want: extract.ErrWhiteout},
		"whiteout of dots":      {tar: Tar(t, File("d/.wh...", "")), want: extract.ErrWhiteout},
		"whiteout of a sibling": {tar: Tar(t, File("a", "x"), File(".wh.a", "")), want: extract.ErrWhiteout},
		"link up":               {tar: Tar(t, Link("a", "../canary")), want: extract.ErrLeadsOut},
		"link to a host file":   {tar: Tar(t, Link("a", "/etc/passwd")), want: unix.ENOENT},
		"link to nothing":       {tar: Tar(t, Link("a", "")), want: extract.ErrType},
		"link to a directory":   {tar: Tar(t, Dir("d"), Link("a", "d")), want: extract.ErrType},
		"link to itself":        {tar: Tar(t, File("/a", "x"), Link("a", "a")), want: unix.ENOENT},
		"through a link out":    {tar: Tar(t, Symlink("out", "../.."), File("out/canary", "x"), Link("c", "out/../canary2")), want: unix.ENOENT},
		"through an absolute link": {
			tar: Tar(t, Symlink("out", "/proc/self/root/etc"), File("out/passwd", "x")), want: unix.EEXIST,
		},
		"through a loop":      {tar: Tar(t, Symlink("l", "l"), File("l/a", "x")), want: unix.ELOOP},
		"through a file":      {tar: Tar(t, File("f", "x"), File("f/a", "x")), want: unix.ENOTDIR},
		"root is a file":      {tar: Tar(t, Symlink("/", "x")), want: extract.ErrType},
		"same path twice":     {tar: Tar(t, File("a", "1"), File("./a", "2")), want: extract.ErrTwice},
		"name of 256 bytes":   {tar: Tar(t, File(name256, "x")), want: unix.ENAMETOOLONG},
		"path of 4096 bytes":  {tar: Tar(t, File(strings.Repeat(name255+"/", 16), "x").With(func(h *tar.Header) { h.Name = "d" + h.Name[:4094] + "f" })), want: unix.ENAMETOOLONG},
		"path of 5000 bytes":  {tar: Tar(t, File(strings.Repeat("d/", 2500)+"f", "x")), want: unix.ENAMETOOLONG},
		"device unwanted":     {tar: Tar(t, Device("null", 1, 3)), opts: extract.Options{NoDevices: true}, want: extract.ErrDevice},
		"unknown type":        {tar: Tar(t, Entry{Header: tar.Header{Typeflag: tar.TypeCont, Name: "c"}}), want: extract.ErrType},
		"sparse without end":  {tar: gnuSparse(t)},
		"longer than claimed": {tar: Tar(t, File("a", "x")), opts: extract.Options{MaxSize: 1024}, want: extract.ErrTooLong},
		"not a tar":           {tar: bytes.Repeat([]byte("no tar"), 500), want: nil},
		"cut header":          {tar: Tar(t, File("a", "x"))[:300]},
		"cut content":         {tar: Tar(t, File("a", strings.Repeat("x", 5000)))[:2000]},
		"size beyond":         {tar: raw(t, func(b []byte) { copy(b[124:], "77777777777\x00") }, File("a", "x"))},
		"negative size":       {tar: raw(t, func(b []byte) { copy(b[124:], strings.Repeat("\xff", 12)) }, File("a", "x"))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, _, err := unpack(t, c.tar, c.opts)
			var refused *extract.RefusedError
			if !errors.As(err, &refused) || (c.want != nil && !errors.Is(err, c.want)) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			t.Log(err)
			if outside, _ := os.ReadDir(filepath.Dir(dir)); len(outside) != 1 {
				t.Errorf("outside of the layer there is %v", outside)
			}
		})
	}
	t.Run("names at the limit", func(t *testing.T) {
		t.Parallel()
		long := strings.Repeat(name255+"/", 15) + name255
		if len(long) != 4095 { // with its final zero the kernel's limit
			t.Fatal(len(long))
		}
		dir, _, err := unpack(t, Tar(t, File(long, "far")), extract.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
}

// TestCanary writes through every kind of link at a file outside.
func TestCanary(t *testing.T) {
	testenv.NeedRoot(t)
	t.Parallel()
	outside := t.TempDir()
	canary := filepath.Join(outside, "canary")
	if err := os.WriteFile(canary, []byte("alive"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := DescribeTree(t, outside, TreeOptions{})
	for _, plain := range [][]byte{
		Tar(t, Symlink("l", outside), File("l/canary", "dead")),
		Tar(t, Symlink("l", outside), File("l/.wh.canary", "")),
		Tar(t, Symlink("l", outside), File("l/.wh..wh..opq", "")),
		Tar(t, Symlink("l", canary), File("/l", "dead")),
		Tar(t, Symlink("l", canary), Dir("/l").Perm(0o777)),
		Tar(t, Symlink("l", canary), Link("k", "l").Perm(0o777).Owner(5, 5).Xattr("user.x", "y")),
		Tar(t, Symlink("a", outside), Symlink("b", "a"), Dir("b/canary").Owner(6, 6)),
		Tar(t, Symlink("d", outside), Dir("d/").Perm(0o777)),
		Tar(t, Link("h", canary), File("/h", "dead")),
		Tar(t, Dir("d/"), Symlink("/d", outside), File("d/canary", "dead")),
		Tar(t, Symlink("up", strings.Repeat("../", 20)+outside), File("up/canary", "dead")),
		Tar(t, Dir("x"), Symlink("x/up", "../.."), File("x/up/canary", "dead"), File("x/up/x/other", "y")),
	} {
		dir, _, err := unpack(t, plain, extract.Options{})
		t.Log(err)
		if d := Diff(before, DescribeTree(t, outside, TreeOptions{})); d != "" {
			t.Fatalf("%s", d)
		}
		if above, _ := os.ReadDir(filepath.Dir(dir)); len(above) != 1 {
			t.Errorf("beside the layer there is %v", above)
		}
	}
}

func TestTable(t *testing.T) {
	testenv.NeedRoot(t)
	t.Parallel()
	entries := []Entry{Dir("d"), File("d/f", "content"), Symlink("l", "d/f"), File("g", "")}
	table := func(t *testing.T, entries ...Entry) *filetable.Reader {
		var buf bytes.Buffer
		w := filetable.NewWriter(&buf)
		if err := filetable.Tabulate(bytes.NewReader(Tar(t, entries...)), w, nil); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return filetable.NewReader(&buf)
	}
	if _, _, err := unpack(t, Tar(t, entries...), extract.Options{Table: table(t, entries...)}); err != nil {
		t.Error(err)
	}
	for name, other := range map[string][]Entry{
		"content":  {Dir("d"), File("d/f", "CONTENT"), Symlink("l", "d/f"), File("g", "")},
		"size":     {Dir("d"), File("d/f", "content "), Symlink("l", "d/f"), File("g", "")},
		"name":     {Dir("d"), File("d/F", "content"), Symlink("l", "d/f"), File("g", "")},
		"type":     {Dir("d"), File("d/f", "content"), File("l", ""), File("g", "")},
		"fewer":    entries[:3],
		"more":     append(slices.Clone(entries), File("h", "")),
		"reversed": {File("g", ""), Symlink("l", "d/f"), File("d/f", "content"), Dir("d")},
	} {
		_, _, err := unpack(t, Tar(t, entries...), extract.Options{Table: table(t, other...)})
		var refused *extract.RefusedError
		if !errors.As(err, &refused) || !errors.Is(err, extract.ErrTable) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestManyEntriesInOneDirectory(t *testing.T) {
	testenv.NeedRoot(t)
	t.Parallel()
	var entries []Entry
	const many = 100_000
	for i := range many {
		entries = append(entries, File(fmt.Sprintf("d/%d", i), ""))
	}
	dir, res, err := unpack(t, Tar(t, entries...), extract.Options{})
	if err != nil || res.Files != many {
		t.Fatal(res, err)
	}
	if names, err := os.ReadDir(filepath.Join(dir, "d")); len(names) != many {
		t.Error(len(names), err)
	}
}

func FuzzLayer(f *testing.F) {
	testenv.NeedRoot(f)
	for _, e := range [][]Entry{
		{Dir("a/"), File("a/b", "content"), Link("c", "a/b"), Symlink("d", "/a")},
		{File(".wh.a", ""), File("b/.wh..wh..opq", ""), Device("n", 1, 3)},
		{File("x", "1"), File("/x", "2"), Dir("/x/"), File("x/y", "3")},
		{Symlink("up", "../.."), File("up/z", "z"), File("cap", "c").Xattr("user.a", "b")},
	} {
		f.Add(Tar(f, e...))
	}
	f.Add(gnuSparse(f))
	f.Add(sparse(f))
	var e extract.Extractor // a process runs one input at a time
	f.Fuzz(func(t *testing.T, plain []byte) {
		var dir string
		var res *extract.Result
		var err error
		memtest.Hold(t, 96<<20, func() { dir, res, err = unpackWith(t, &e, plain, extract.Options{UserNamespace: true}) })
		if above, _ := os.ReadDir(filepath.Dir(dir)); len(above) != 1 {
			t.Fatalf("beside the layer there is %v", above)
		}
		if err == nil && (res.DiffID != digest.FromBytes(plain) || res.DiffSize != int64(len(plain))) {
			t.Fatalf("result %+v of %d bytes", res, len(plain))
		}
	})
}

// names is a Tree that keeps what it is asked for.
type names struct{ got []string }

func (n *names) add(what, name string) error { n.got = append(n.got, what+" "+name); return nil }

func (n *names) Create(hdr *fork.Header, name string, _ *extract.Content) error {
	return n.add(string(hdr.Typeflag), name)
}

func (n *names) Whiteout(_ *fork.Header, parent, name string) error {
	return n.add("whiteout", parent+"/"+name)
}
func (n *names) Opaque(dir string) error { return n.add("opaque", dir) }
func (n *names) Root(*fork.Header) error { return n.add("root", "") }
func (n *names) End() error              { return n.add("end", "") }

// TestReplay holds that Replay tells what Scan does, but for the diff ID.
func TestReplay(t *testing.T) {
	for _, plain := range append(Everything(t), Strange(t)...) {
		var e extract.Extractor
		var scanned, replayed names
		var listings [2]bytes.Buffer
		options := func(i int) extract.Options {
			return extract.Options{Listing: filetable.NewWriter(&listings[i])}
		}
		scan, replay := options(0), options(1)
		want, err := e.Scan(t.Context(), bytes.NewReader(plain), &scanned, io.Discard, scan)
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.Replay(t.Context(), bytes.NewReader(plain), &replayed, replay)
		if err != nil {
			t.Fatal(err)
		}
		want.DiffID = ""
		if !reflect.DeepEqual(got, want) || !slices.Equal(replayed.got, scanned.got) {
			t.Errorf("replay: %+v, %q; scan: %+v, %q", got, replayed.got, want, scanned.got)
		}
		if err := errors.Join(scan.Listing.Close(), replay.Listing.Close()); err != nil || !bytes.Equal(listings[0].Bytes(), listings[1].Bytes()) {
			t.Errorf("the listings differ (%v)", err)
		}
		if _, err := e.Replay(t.Context(), bytes.NewReader(plain), &replayed, extract.Options{}); err != nil {
			t.Errorf("without a listing: %v", err)
		}
	}
	if _, err := new(extract.Extractor).Replay(t.Context(), bytes.NewReader(gnuSparse(t)), &names{}, extract.Options{}); err == nil {
		t.Error("a sparse file was replayed")
	}
}
