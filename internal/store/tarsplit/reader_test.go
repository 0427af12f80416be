package tarsplit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/vbatts/tar-split/tar/storage"

	"github.com/nodeseal/nodeseal/internal/memtest"
)

// FuzzReader compares the reader of lines with a JSON decoder.
func FuzzReader(f *testing.F) {
	for _, e := range []storage.Entry{
		{Type: storage.FileType, Name: "etc/hosts", Size: 12, Payload: []byte("12345678"), Position: 3},
		{Type: storage.FileType, Name: "a<b>&\"\\ü", Payload: nil, Position: 1},
		{Type: storage.FileType, NameRaw: []byte{0xff, 0xfe}, Size: 1, Payload: []byte{}, Position: 2},
		{Type: storage.SegmentType, Payload: bytes.Repeat([]byte{7}, 5000), Position: -1},
	} {
		line, err := json.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line)
	}
	for _, s := range []string{"", "{}", `{"type":1`, `{"type":1,"payload":"!","position":0}`, `{"position":1,"type":2,"payload":null}`, ` {"type":2,"payload":"AA==","position":0} `} {
		f.Add([]byte(s))
	}
	f.Add(memtest.Repeat(1<<20, `{"type":2,"payload":"`, "A", `","position":0}`))
	f.Add(memtest.Repeat(1<<20, `{"type":1,"xattr":[`, "{},", `{}]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		memtest.Hold(t, 8*int64(len(line))+2<<20, func() {
			r := NewReader(bytes.NewReader(line))
			for {
				if _, err := r.Next(); err != nil {
					return
				}
			}
		})
		if bytes.ContainsAny(line, "\n\r") {
			return
		}
		var want storage.Entry
		wantErr := json.Unmarshal(line, &want)
		got, err := (&Reader{lines: bufio.NewReaderSize(bytes.NewReader(append(line, '\n')), 16)}).Next()
		if len(bytes.TrimSpace(line)) == 0 {
			if !errors.Is(err, io.EOF) {
				t.Fatalf("an empty line: %v", err)
			}
			return
		}
		if wantErr != nil {
			// What JSON would refuse in a string may pass: the digest of the tar tells.
			return
		}
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if len(want.Payload) == 0 {
			want.Payload, got.Payload = nil, nil
		}
		if !reflect.DeepEqual(*got, want) && !strings.Contains(want.Name, "\ufffd") {
			t.Errorf("%+v, want %+v", *got, want)
		}
	})
}

func TestReader(t *testing.T) {
	var text bytes.Buffer
	var want []storage.Entry
	for i := range 100 {
		e := storage.Entry{Type: storage.SegmentType, Payload: bytes.Repeat([]byte{byte(i)}, i*i), Position: i}
		if i%2 == 0 {
			e = storage.Entry{Type: storage.FileType, Name: strings.Repeat("n", i+1), Size: int64(i), Payload: []byte("12345678"), Position: i}
		}
		want = append(want, e)
		if err := json.NewEncoder(&text).Encode(e); err != nil {
			t.Fatal(err)
		}
	}
	r := &Reader{lines: bufio.NewReaderSize(&text, 512)}
	for i, w := range want {
		got, err := r.Next()
		if err != nil || got.Name != w.Name || got.Size != w.Size || got.Position != w.Position || !bytes.Equal(got.Payload, w.Payload) {
			t.Fatalf("entry %d: %+v, %v, want %+v", i, got, err, w)
		}
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("the end: %v", err)
	}
}
