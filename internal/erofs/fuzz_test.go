package erofs_test

import (
	"os"
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
		name := tr.build(t, nil)
		image, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		got, err := readGo(r)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, "go-erofs", got, tr.want())
		again, err := os.ReadFile(tr.build(t, func(paths []string) {
			for i := range paths {
				j := s.n(i + 1)
				paths[i], paths[j] = paths[j], paths[i]
			}
		}))
		if err != nil || string(again) != string(image) {
			t.Errorf("another order gives another image (%v)", err)
		}
	})
}
