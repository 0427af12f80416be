package image

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/vbatts/tar-split/tar/storage"
)

// FuzzTarSplit writes a tar-split with the library and reads it.
func FuzzTarSplit(f *testing.F) {
	f.Add("usr/bin/a", int64(5), []byte("header"), []byte("rest"))
	f.Add(`a","size":7,"b`, int64(1<<40), []byte{}, bytes.Repeat([]byte{0}, 300_000))
	f.Add("\xff<&>\u2028\n", int64(0), []byte("x"), []byte{})
	f.Fuzz(func(t *testing.T, name string, size int64, first, last []byte) {
		if size < 0 || name == "" {
			t.Skip()
		}
		var lines bytes.Buffer
		w := storage.NewJSONPacker(&lines)
		file := storage.Entry{Type: storage.FileType, Size: size, Payload: []byte("checksum")}
		file.SetName(name)
		for _, e := range []storage.Entry{{Type: storage.SegmentType, Payload: first}, file, {Type: storage.SegmentType, Payload: last}} {
			if _, err := w.AddEntry(e); err != nil {
				t.Fatal(err)
			}
		}
		s := newTarSplit(&lines)
		if segment, n, err := s.next(); err != nil || n != 0 || !bytes.Equal(segment, first) {
			t.Errorf("first: %d bytes, %d (%v)", len(segment), n, err)
		}
		segment, n, err := s.next()
		if err != nil || n != size || len(segment) != 0 {
			t.Errorf("file: %d bytes, %d (%v)", len(segment), n, err)
		}
		if got, err := s.name(); err != nil || got != name {
			t.Errorf("name %q (%v), want %q", got, err, name)
		}
		if segment, n, err := s.next(); err != nil || n != 0 || !bytes.Equal(segment, last) {
			t.Errorf("last: %d bytes, %d (%v)", len(segment), n, err)
		}
		if _, _, err := s.next(); !errors.Is(err, io.EOF) {
			t.Errorf("end: %v", err)
		}
	})
}

// TestTarSplitDamaged has lines that are none of a tar-split.
func TestTarSplitDamaged(t *testing.T) {
	for _, line := range []string{
		"\n", "nonsense\n", `{"type":2,"payload":"AAAA`, "{\"type\":2,\"payload\":\"A*A\"\n", "{\"type\":1,\"name\":\"a\",\"size\":x,\n",
		"{\"type\":1,\"name\":\"a\",\"size\":-1,\n", strings.Repeat("x", maxLine+100_000),
	} {
		if _, _, err := newTarSplit(strings.NewReader(line)).next(); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%.40q: %v", line, err)
		}
	}
}
