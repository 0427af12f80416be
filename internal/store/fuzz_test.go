package store_test

import (
	"testing"
	"testing/fstest"

	"github.com/nodeseal/nodeseal/internal/memtest"
	"github.com/nodeseal/nodeseal/internal/store"
)

// The records of a store take a bounded memory, whatever a disk or a root has made of them.
func FuzzOpen(f *testing.F) {
	images := []byte(`[{"id":"x","names":["quay.io/a/b@sha256:x"],"big-data-names":["manifest"],"big-data-digests":{"manifest":"sha256:x"}}]`)
	layers := []byte(`[{"id":"x","diff-digest":"sha256:x","diff-size":1,"uidset":[0,1]}]`)
	references := []byte(`[{"name":"quay.io/a/b","digest":"sha256:x","image":"x"}]`)
	f.Add(images, layers, references)
	f.Add([]byte("[]"), []byte("null"), []byte("{}"))
	f.Add(memtest.Repeat(1<<20, `[`, `{},`, `{}]`), layers, references)
	f.Add(images, memtest.Repeat(1<<20, `[{"uidset":[`, `1,`, `1]}]`), references)
	f.Add(images, layers, memtest.Repeat(1<<20, `[{"names":[`, `"",`, `""]}]`))
	f.Fuzz(func(t *testing.T, images, layers, references []byte) {
		fsys := fstest.MapFS{
			"overlay-images/images.json": {Data: images}, "overlay-layers/layers.json": {Data: layers},
			"nodeseal/references.json": {Data: references},
		}
		memtest.Hold(t, 16*int64(len(images)+len(layers)+len(references))+32<<20, func() {
			s, err := store.Open(fsys)
			if err != nil {
				return
			}
			s.Empty()
			for _, d := range s.Manifests() {
				if _, err := s.Manifest(d); err == nil {
					t.Errorf("a manifest %s of nothing", d)
				}
			}
		})
	})
}
