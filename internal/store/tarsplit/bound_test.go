package tarsplit

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/vbatts/tar-split/tar/storage"
)

// TestBound: what a layer can have is read, more is an error, and the end of the work
// ends it.
func TestBound(t *testing.T) {
	t.Parallel()
	names := new(bytes.Buffer)
	w := NewWriter(names)
	size := int64(0)
	for i := range 3000 { // the worst that a tar can have: names of bytes that are escaped
		e := storage.Entry{Type: storage.FileType, Payload: []byte("12345678")}
		e.SetName(strings.Repeat("\x01", 90) + string(rune('a'+i%26)) + strings.Repeat("\x02", i%200) + string(rune('0'+i/200)))
		if _, err := w.AddEntry(storage.Entry{Type: storage.SegmentType, Payload: make([]byte, 512)}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.AddEntry(e); err != nil {
			t.Fatal(err)
		}
		size += 512
	}
	all, err := io.ReadAll(Bound(t.Context(), bytes.NewReader(names.Bytes()), size))
	if err != nil || len(all) != names.Len() {
		t.Errorf("an honest one: %d of %d bytes, %v", len(all), names.Len(), err)
	}
	blanks := io.LimitReader(repeated('\n'), 100<<20)
	if _, err := NewReader(Bound(t.Context(), blanks, 1<<10)).Next(); !errors.Is(err, ErrTooLong) {
		t.Errorf("100 MiB for a layer of 1 KiB: %v", err)
	}
	// Without a bound, blank lines take time and no memory: no call for each of them.
	if _, err := NewReader(Bound(t.Context(), io.LimitReader(repeated('\n'), 100<<20), 0)).Next(); !errors.Is(err, io.EOF) {
		t.Errorf("100 MiB of blank lines: %v", err)
	}
	if _, err := NewReader(Bound(t.Context(), repeated('x'), 0)).Next(); err == nil {
		t.Error("a line without an end was read")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	cancel(stop)
	if _, err := NewReader(Bound(ctx, repeated('\n'), 0)).Next(); !errors.Is(err, stop) {
		t.Errorf("ended: %v", err)
	}
}

// repeated is an endless stream of one byte.
type repeated byte

// Read implements io.Reader.
func (r repeated) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r)
	}
	return len(b), nil
}
