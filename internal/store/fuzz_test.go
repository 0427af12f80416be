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

// FuzzReadPrimary: the records of a node's own storage, which podman and CRI-O write.
func FuzzReadPrimary(f *testing.F) {
	layers := []byte(`[{"id":"x","diff-digest":"sha256:x","uidset":[0]}]`)
	containers := []byte(`[{"id":"c","names":["n"],"image":"x","layer":"x","metadata":"{}"}]`)
	f.Add(layers, containers)
	f.Add([]byte("{}"), []byte("null"))
	f.Add([]byte(`[{"id":1}]`), []byte(`[`))
	f.Add(layers, memtest.Repeat(1<<20, `[`, `{},`, `{}]`))
	f.Add(layers, memtest.Repeat(1<<20, `[{"big-data-sizes":{`, `"":1,`, `"":1}}]`))
	f.Add(memtest.Repeat(1<<20, `[{"flags":{`, `"":[],`, `"":1}}]`), containers)
	f.Fuzz(func(t *testing.T, layers, containers []byte) {
		fsys := fstest.MapFS{
			"overlay-layers/layers.json": {Data: layers}, "overlay-layers/volatile-layers.json": {Data: layers},
			"overlay-containers/containers.json": {Data: containers}, "overlay-containers/volatile-containers.json": {Data: containers},
		}
		memtest.Hold(t, 32*int64(len(layers)+len(containers))+32<<20, func() {
			p, err := store.ReadPrimary(fsys)
			if err == nil && len(p.Layers)%2+len(p.Containers)%2 != 0 {
				t.Errorf("%d layers, %d containers", len(p.Layers), len(p.Containers))
			}
		})
	})
}
