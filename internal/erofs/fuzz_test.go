package erofs_test

import (
	"bytes"
	"testing"
)

// FuzzBuilder builds the tree that the bytes describe, twice, and reads it with
// go-erofs.
func FuzzBuilder(f *testing.F) {
	f.Add([]byte{0}, uint64(1))
	f.Add([]byte("directories, files, links and attributes from these bytes"), uint64(2))
	f.Add([]byte{40, 5, 5, 5, 0, 0, 0, 1, 1, 1, 2, 3, 4, 5, 6, 7}, uint64(3))
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		s := &source{data: data, seed: seed}
		tr := randomFrom(s, s.n(60))
		image, again, spool := &memory{}, &memory{}, &memory{}
		tr.buildTo(t, image, spool, nil)
		got, err := readGo(image)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, "go-erofs", got, tr.want())
		tr.buildTo(t, again, spool, s.shuffle)
		if !bytes.Equal(image.data, again.data) {
			t.Error("another order gives another image")
		}
	})
}
