package archive_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/seekable"
)

// TestOtherMembers has tars whose members, or their headers, are not those that the inventory
// makes of them.
func TestOtherMembers(t *testing.T) {
	t.Parallel()
	s, enc := newSample(t, 1, 1000)
	dec, err := zstd.NewReader(nil)
	must(t, err)
	defer dec.Close()
	plain, err := dec.DecodeAll(written(t, s, enc).Bytes(), nil)
	must(t, err)
	same := func(int, *tar.Header) bool { return true }
	for name, c := range map[string]struct {
		keep  func(i int, h *tar.Header) bool // which may change h, too
		more  string                          // a member at the end
		after int                             // bytes behind the end
		whole bool
	}{
		"as it is":           {keep: same, whole: true},
		"one more":           {keep: same, more: "etc/passwd"},
		"one more, a blob":   {keep: same, more: "blobs/sha256/0000000000000000000000000000000000000000000000000000000000000000"},
		"more behind it":     {keep: same, after: 1024},
		"one is left out":    {keep: func(i int, _ *tar.Header) bool { return i != 4 }},
		"another name":       {keep: func(i int, h *tar.Header) bool { h.Name = "./" + h.Name; return i >= 0 }},
		"another mode":       {keep: func(i int, h *tar.Header) bool { h.Mode |= int64(i); return true }},
		"another owner":      {keep: func(i int, h *tar.Header) bool { h.Uid = i; return true }},
		"the name of a user": {keep: func(_ int, h *tar.Header) bool { h.Uname = "root"; return true }},
	} {
		var out bytes.Buffer
		w, r := tar.NewWriter(&out), tar.NewReader(bytes.NewReader(plain))
		for i := 0; ; i++ {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			must(t, err)
			if !c.keep(i, h) {
				continue
			}
			must(t, w.WriteHeader(h))
			_, err = io.Copy(w, r)
			must(t, err)
		}
		if c.more != "" {
			must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: c.more, Mode: 0o444, Format: tar.FormatUSTAR}))
		}
		must(t, w.Close())
		out.Write(make([]byte, c.after))
		file := packed(t, enc, out.Bytes(), seekable.FrameSize)
		rep, err := archive.Verify(t.Context(), bytes.NewReader(file), int64(len(file)), archive.VerifyOptions{})
		damaged := errors.Is(err, bundle.ErrDamaged) || err == nil && len(rep.Damage) > 0
		if damaged == c.whole || err != nil && !damaged {
			t.Errorf("%s: %v, %+v", name, err, rep)
		}
	}
}
