package tarsplit

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"testing"

	"github.com/vbatts/tar-split/tar/storage"

	"github.com/nodeseal/nodeseal/internal/memtest"
)

// The members of a tar-split are read with the memory of its longest header.
func FuzzMembers(f *testing.F) {
	var head bytes.Buffer
	w := tar.NewWriter(&head)
	if err := w.WriteHeader(&tar.Header{Name: "a", Size: 1, PAXRecords: map[string]string{"SCHILY.xattr.user.a": "b"}, Format: tar.FormatPAX}); err != nil {
		f.Fatal(err)
	}
	var split bytes.Buffer
	for _, e := range []storage.Entry{{Type: storage.SegmentType, Payload: head.Bytes()}, {Type: storage.FileType, Name: "a", Size: 1}} {
		if err := json.NewEncoder(&split).Encode(e); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(split.Bytes())
	f.Add(bytes.Repeat(split.Bytes(), 100))
	f.Add(memtest.Repeat(1<<20, "", `{"type":2,"payload":"AAAA","position":0}`+"\n", ""))
	f.Fuzz(func(t *testing.T, split []byte) {
		memtest.Hold(t, 16*int64(len(split))+4<<20, func() { _, _ = Kept(t.Context(), bytes.NewReader(split)) })
	})
}
