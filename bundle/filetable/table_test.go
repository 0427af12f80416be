package filetable_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/filetable"
	"github.com/nodeseal/nodeseal/internal/memtest"
)

// A table gives back what was added, and refuses the rest.
func FuzzReader(f *testing.F) {
	var buf bytes.Buffer
	w := filetable.NewWriter(&buf)
	for _, e := range []filetable.Entry{{Name: "etc/", Type: '5'}, {Name: "etc/a", Type: '0', Size: 3}, {Name: "l", Type: '2'}} {
		if err := w.Add(e); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Add(buf.Bytes()[:buf.Len()-1])
	f.Add([]byte("nodeseal file table v1\n0\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		memtest.Hold(t, 1<<20, func() {
			r := filetable.NewReader(bytes.NewReader(data))
			for {
				if _, err := r.Next(); err != nil {
					return
				}
			}
		})
		r := filetable.NewReader(bytes.NewReader(data))
		var out bytes.Buffer
		w := filetable.NewWriter(&out)
		for {
			e, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				if !errors.Is(err, bundle.ErrDamaged) {
					t.Fatalf("an error of its own: %v", err)
				}
				return
			}
			if err := w.Add(e); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		again := filetable.NewReader(bytes.NewReader(out.Bytes()))
		for {
			if _, err := again.Next(); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				t.Fatalf("written again: %v", err)
			}
		}
	})
}
