package erofs_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"testing"

	"github.com/nodeseal/nodeseal/internal/erofs"
	"github.com/nodeseal/nodeseal/internal/memtest"
)

// readOwn looks every path of the tree up and reads its content by its extents.
func readOwn(t testing.TB, image string, tr tree) {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	r, err := erofs.NewReader(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	missed := 0
	for p, want := range tr {
		got, err := r.Lookup(p)
		if err != nil {
			t.Errorf("lookup: %v", err)
			continue
		}
		for _, missing := range []string{p + "\x01", p + "0", p + "/x", "!" + p} {
			if _, ok := tr[missing]; ok || p == "." || missed > 4000 {
				continue
			}
			missed++
			if _, err := r.Lookup(missing); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("lookup of %q: %v", short(missing), err)
			}
		}
		if uint32(got.Mode) != want.mode {
			t.Errorf("%q has mode %o, want %o", short(p), got.Mode, want.mode)
		}
		if kind := want.mode & typeMask; kind != typeReg && kind != typeLnk {
			continue
		}
		offset, head, tailOffset, tail := got.Extents()
		if offset%erofs.BlockSize != 0 || head+tail != got.Size || tail >= erofs.BlockSize || tail > 0 && tailOffset == 0 {
			t.Errorf("%q of %d bytes: extents %d at %d, %d at %d", short(p), got.Size, head, offset, tail, tailOffset)
		}
		if data, err := io.ReadAll(r.Open(got)); err != nil || !bytes.Equal(data, want.data) {
			t.Errorf("%q has %d bytes, other ones than the %d wanted (%v)", short(p), len(data), len(want.data), err)
		}
		for _, skip := range []int64{1, head - 1, head, got.Size - 1, got.Size} {
			if skip < 0 || skip > got.Size {
				continue
			}
			if data, err := io.ReadAll(r.OpenAt(got, skip)); err != nil || !bytes.Equal(data, want.data[skip:]) {
				t.Errorf("%q behind %d bytes of %d: %d bytes, other ones than wanted (%v)", short(p), skip, got.Size, len(data), err)
			}
		}
	}
	if _, err := r.Lookup("/a"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("lookup of an absolute path: %v", err)
	}
}

// FuzzReader reads what is no image, or one that was damaged.
func FuzzReader(f *testing.F) {
	image, spool := &memory{}, &memory{}
	tr := random(3, 40)
	tr.buildTo(f, image, spool, nil)
	f.Add([]byte{}, uint32(0), byte(0))
	for i := 1024; i < 1152; i += 4 {
		f.Add(image.data, uint32(i), byte(0xff))
	}
	for i := range 64 {
		f.Add(image.data, uint32(len(image.data)-1-i*37), byte(1+i))
	}
	f.Fuzz(func(t *testing.T, data []byte, at uint32, flip byte) {
		data = bytes.Clone(data)
		if int(at) < len(data) {
			data[at] ^= flip
		}
		memtest.Hold(t, 8<<20, func() {
			r, err := erofs.NewReader(bytes.NewReader(data), int64(len(data)))
			if err != nil {
				return
			}
			for p := range tr {
				_, _ = r.Lookup(p)
			}
		})
		r, err := erofs.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			if !errors.Is(err, erofs.ErrImage) {
				t.Error(err)
			}
			return
		}
		for p := range tr {
			got, err := r.Lookup(p)
			if err != nil {
				if !errors.Is(err, erofs.ErrImage) && !errors.Is(err, fs.ErrNotExist) {
					t.Error(err)
				}
				continue
			}
			if n, err := io.Copy(io.Discard, r.Open(got)); err != nil || n != got.Size {
				t.Errorf("%q: read %d of %d bytes: %v", p, n, got.Size, err)
			}
		}
	})
}
