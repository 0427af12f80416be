package delta_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/delta"
	"github.com/nodeseal/nodeseal/internal/memtest"
)

// oldFiles are the files of one older layer, by path.
type oldFiles map[string][]byte

// OpenOld implements delta.Old.
func (o oldFiles) OpenOld(_ digest.Digest, f delta.File) (delta.OldFile, error) {
	data, ok := o[f.Path]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return struct {
		io.ReaderAt
		io.Closer
	}{bytes.NewReader(data), io.NopCloser(nil)}, nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var oldLayer = digest.FromString("an older layer")

// sample is a delta with every kind of record and of difference, and what it makes of olds.
func sample(t testing.TB) (data, plain []byte, olds oldFiles) {
	t.Helper()
	le := binary.LittleEndian
	old := make([]byte, 4096)
	for i := range old {
		old[i] = byte(i * 7 >> 3)
	}
	now := append(bytes.Clone(old[:2048]), old[2040:]...) // eight bytes more in the middle
	le.PutUint32(old[100:], 3000)                         // an address, and a distance to one
	le.PutUint32(now[100:], 3008)
	le.PutUint32(old[200:], 3000-204)
	le.PutUint32(now[200:], 3008-204)
	le.PutUint32(now[300:], le.Uint32(now[300:])+0x40)
	le.PutUint32(now[400:], le.Uint32(now[400:])+0x40)
	le.PutUint32(now[500:], le.Uint32(now[500:])-0x400)
	le.PutUint32(now[600:], le.Uint32(now[600:])+0x12345678)
	now[2047]++
	ranges := []delta.Range{{Addr: 0, Off: 0, Len: 5000}}
	ops := []delta.Op{{Old: 0, Copy: 2048, Literal: 8}, {Old: 2048, Copy: 2048}}
	olds = oldFiles{"etc/equal": []byte("equal\n"), "usr/bin/program": old}
	var buf bytes.Buffer
	head := strings.Repeat("head", 128)
	w, err := delta.NewWriter(&buf, int64(len(head)+6+len(now)+5), []digest.Digest{oldLayer})
	must(t, err)
	_, err = io.WriteString(w, head)
	must(t, err)
	must(t, w.Equal(delta.File{Path: "etc/equal", Offset: 512, Size: 6}))
	must(t, w.Changed(delta.File{Path: "usr/bin/program", Offset: 2048, Size: 4096},
		delta.Change{Old: old, Now: now, Ops: ops, OldRanges: ranges, NowRanges: ranges}))
	_, err = io.WriteString(w, "tail\n")
	must(t, err)
	must(t, w.Close())
	return buf.Bytes(), []byte(head + "equal\n" + string(now) + "tail\n"), olds
}

func read(data []byte, size int64, old delta.Old) ([]byte, error) {
	r, err := delta.NewReader(bytes.NewReader(data), size, old)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func TestReader(t *testing.T) {
	t.Parallel()
	data, plain, olds := sample(t)
	got, err := read(data, int64(len(plain)), olds)
	must(t, err)
	if !bytes.Equal(got, plain) {
		t.Error("it makes other bytes")
	}
	again, _, _ := sample(t)
	if !bytes.Equal(data, again) {
		t.Error("the same calls give another delta")
	}
	for n := range data {
		if _, err := read(data[:n], int64(len(plain)), olds); !errors.Is(err, bundle.ErrDamaged) {
			t.Fatalf("cut at byte %d: %v", n, err)
		}
	}
	for i := range data {
		hurt := bytes.Clone(data)
		hurt[i] ^= 1
		if got, err := read(hurt, int64(len(plain)), olds); err == nil && !bytes.Equal(got, plain) {
			t.Fatalf("byte %d is another, and the result too", i) // the frame has a checksum
		}
	}
	broken := errors.New("broken")
	r, err := delta.NewReader(iotest.ErrReader(broken), 1, olds)
	if r != nil || !errors.Is(err, broken) || errors.Is(err, bundle.ErrDamaged) {
		t.Errorf("a disk that fails: %v", err)
	}
}

// TestOldFiles says which old file is at fault.
func TestOldFiles(t *testing.T) {
	t.Parallel()
	data, plain, olds := sample(t)
	for _, path := range []string{"etc/equal", "usr/bin/program"} {
		for _, hurt := range []oldFiles{{}, {path: olds[path][:3]}} {
			for other, content := range olds {
				if other != path {
					hurt[other] = content
				}
			}
			_, err := read(data, int64(len(plain)), hurt)
			var old *delta.OldError
			if !errors.Is(err, delta.ErrOld) || !errors.As(err, &old) || old.Path != path || old.Layer != oldLayer || errors.Is(err, bundle.ErrDamaged) {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

// hostile is a delta of the bytes after its head.
func hostile(t testing.TB, size, layers uint64, records ...any) []byte {
	t.Helper()
	raw := []byte("nodeseal delta v1\n")
	raw = binary.AppendUvarint(raw, size)
	raw = binary.AppendUvarint(raw, layers)
	raw = append(raw, make([]byte, 32*min(layers, 10))...)
	for _, r := range records {
		switch r := r.(type) {
		case int:
			raw = binary.AppendUvarint(raw, uint64(r))
		case string:
			raw = append(raw, r...)
		}
	}
	z, err := zstd.NewWriter(nil)
	must(t, err)
	return z.EncodeAll(raw, nil)
}

func TestHostile(t *testing.T) {
	t.Parallel()
	const changed = 3
	olds := oldFiles{"file": []byte(strings.Repeat("old ", 100))}
	file := []any{0, 4, "file", 0, 400}
	with := func(kind int, more ...any) []any { return append(append([]any{kind}, file...), more...) }
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"another size":        {hostile(t, 99, 0, 0), "want 10"},
		"too many layers":     {hostile(t, 10, 1<<40), "at most 4096"},
		"not enough":          {hostile(t, 10, 1, 0), "0 bytes, want 10"},
		"a bomb":              {hostile(t, 10, 1, 1, 11, strings.Repeat("x", 11)), "at most 10"},
		"two halves too many": {hostile(t, 10, 1, 1, 6, "123456", 1, 6, "123456"), "more than 10"},
		"an unknown record":   {hostile(t, 10, 1, 9), "kind 9"},
		"an unknown layer":    {hostile(t, 10, 1, 2, 1, 4, "file", 0, 400), "at most 0"},
		"no layer at all":     {hostile(t, 10, 0, 2, 0, 4, "file", 0, 400), "at most"},
		"a path upwards":      {hostile(t, 10, 1, 2, 0, 7, "../file", 0, 10), "path"},
		"an absolute path":    {hostile(t, 10, 1, 2, 0, 5, "/file", 0, 10), "path"},
		"a long path":         {hostile(t, 10, 1, 2, 0, 1<<30), "at most 4096"},
		"more than the tar":   {hostile(t, 10, 1, with(2)...), "more than 10"},
		"many pieces":         {hostile(t, 10, 1, with(changed, 0, 0, 1<<40)...), "at most"},
		"behind the old file": {hostile(t, 10, 1, with(changed, 0, 0, 1, 10, 0, 2*395)...), "old file of 400"},
		"before the old file": {hostile(t, 10, 1, with(changed, 0, 0, 1, 10, 0, 1)...), "old file of 400"},
		"many ranges":         {hostile(t, 10, 1, with(changed, 17)...), "at most 16"},
		"an empty chunk":      {hostile(t, 10, 1, with(changed, 0, 0, 1, 10, 0, 0, 0)...), "empty chunk"},
		"many differences":    {hostile(t, 10, 1, with(changed, 0, 0, 1, 10, 0, 0, 10, 1<<30)...), "at most"},
		"far differences":     {hostile(t, 10, 1, with(changed, 0, 0, 1, 10, 0, 0, 10, 1, "\xf8", 1, "\x0a", 1, "x")...), "behind the last copy"},
		"no such difference":  {hostile(t, 10, 1, with(changed, 0, 0, 1, 10, 0, 0, 10, 1, "\x00", 1, "\x00", 0)...), "was not"},
		"no such address":     {hostile(t, 10, 1, with(changed, 0, 0, 1, 10, 0, 0, 10, 1, "\xf4", 1, "\x00", 0)...), "address"},
		"a missing escape":    {hostile(t, 10, 1, with(changed, 0, 0, 1, 10, 0, 0, 10, 1, "\xf8", 1, "\x00", 0)...), "missing"},
		"no new bytes":        {hostile(t, 10, 1, 1, 0), "makes nothing"},
		"an empty old file":   {hostile(t, 10, 1, 2, 0, 4, "file", 0, 0), "makes nothing"},
		"an empty piece":      {hostile(t, 10, 1, with(changed, 0, 0, 1, 0, 0, 0)...), "makes nothing"},
		"an empty new file":   {hostile(t, 10, 1, with(changed, 0, 0, 0)...), "makes nothing"},
		"files of a byte":     {hostile(t, 10, 1, 2, 0, 4, "file", 0, 1, 2, 0, 4, "file", 0, 1), "2 old files for 1 bytes"},
		"bytes behind":        {hostile(t, 2, 1, 1, 2, "ab", 0, "more"), "behind its end"},
	} {
		size := int64(10)
		if name == "bytes behind" {
			size = 2
		}
		got, err := read(c.data, size, olds)
		if !errors.Is(err, bundle.ErrDamaged) || !strings.Contains(err.Error(), c.want) || int64(len(got)) > size {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// FuzzReader reads any bytes as what a zstd frame has: no more comes out than was asked for, and no
// more memory is taken than is said.
func FuzzReader(f *testing.F) {
	data, plain, olds := sample(f)
	z, err := zstd.NewReader(nil)
	must(f, err)
	content, err := z.DecodeAll(data, nil)
	must(f, err)
	f.Add(content)
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
	must(f, err)
	f.Fuzz(func(t *testing.T, content []byte) {
		var got []byte
		var err error
		data := enc.EncodeAll(content, nil)
		memtest.Hold(t, delta.Memory, func() { got, err = read(data, int64(len(plain)), olds) })
		switch {
		case len(got) > len(plain):
			t.Errorf("%d bytes, at most %d", len(got), len(plain))
		case err == nil && len(got) != len(plain):
			t.Errorf("%d bytes without an error", len(got))
		case err != nil && !errors.Is(err, bundle.ErrDamaged) && !errors.Is(err, delta.ErrOld):
			t.Errorf("the error names no file: %v", err)
		}
	})
}
