package tarsplit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/vbatts/tar-split/tar/storage"
)

// FuzzWriter writes entries beside the packer of tar-split: the same bytes, the same
// answers, but that it does not look for names that it has had.
func FuzzWriter(f *testing.F) {
	for _, name := range []string{
		"etc/hosts", "", "./etc//hosts", "a<b>", "a&b", `a"b\c`, "tab\tnewline\n", "\x7f", "ü", "\u2028\u2029", "\ufffd", "\xff\xfe", "etc/\xe9",
	} {
		f.Add(name, int64(12), []byte("12345678"), true)
		f.Add(name, int64(0), []byte{}, false)
	}
	f.Fuzz(func(t *testing.T, name string, size int64, payload []byte, file bool) {
		var got, want bytes.Buffer
		ours, theirs := NewWriter(&got), storage.NewJSONPacker(&want)
		e := storage.Entry{Type: storage.SegmentType, Name: name, Size: size, Payload: payload}
		if file {
			e.Type = storage.FileType
		}
		raw := storage.Entry{Type: e.Type, NameRaw: []byte(name + "/raw"), Payload: payload}
		for i, e := range []storage.Entry{e, {Type: storage.SegmentType}, raw, e, {Type: storage.FileType, Name: name + "/."}, {Type: storage.FileType, Name: name + "/x"}} {
			wantP, wantErr := theirs.AddEntry(e)
			if errors.Is(wantErr, storage.ErrDuplicatePath) {
				continue // callers refuse it
			}
			p, err := ours.AddEntry(e)
			if p != wantP || fmt.Sprint(err) != fmt.Sprint(wantErr) {
				t.Fatalf("entry %d: %d, %v, want %d, %v", i, p, err, wantP, wantErr)
			}
		}
		if got.String() != want.String() {
			t.Fatalf("%s\nwant %s", got.String(), want.String())
		}
	})
}

// The writer's errors are passed on.
func TestWriterFails(t *testing.T) {
	full := errors.New("no room")
	r, w := io.Pipe()
	r.CloseWithError(full)
	if _, err := NewWriter(w).AddEntry(storage.Entry{Type: storage.SegmentType}); !errors.Is(err, full) {
		t.Errorf("%v, want %v", err, full)
	}
}

// BenchmarkWriter writes what one file of a layer takes: a header and a name.
func BenchmarkWriter(b *testing.B) {
	header := bytes.Repeat([]byte{'h', 0, 0, 0}, 160)
	for _, way := range []struct {
		name string
		new  func(io.Writer) storage.Packer
	}{
		{"ours", func(w io.Writer) storage.Packer { return NewWriter(w) }},
		{"library", storage.NewJSONPacker},
	} {
		b.Run(way.name, func(b *testing.B) {
			w := way.new(io.Discard)
			for i := 0; b.Loop(); i++ {
				_, err := w.AddEntry(storage.Entry{Type: storage.SegmentType, Payload: header})
				if err == nil {
					_, err = w.AddEntry(storage.Entry{Type: storage.FileType, Name: fmt.Sprint("usr/share/doc/", i), Size: 100, Payload: header[:8]})
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
