package store_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/nodeseal/nodeseal/internal/jsonbound"
	"github.com/nodeseal/nodeseal/internal/memtest"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/opencontainers/go-digest"
)

// filled is a list of each, to about size bytes.
func filled(size int, before, each, after string) string {
	return before + strings.Repeat(each+",", size/(len(each)+1)) + each + after
}

// TestOpenBombs opens stores whose records are long and say nothing. It is not parallel: it measures memory.
func TestOpenBombs(t *testing.T) {
	const size = 30 << 20
	for name, text := range map[string]string{
		"empty records":  filled(size, `[`, `{}`, `]`),
		"numbers":        filled(size, `[`, `1`, `]`),
		"owners":         filled(size, `[{"uidset":[`, `1`, `]}]`),
		"names":          filled(size, `[{"names":[`, `""`, `]}]`),
		"members":        filled(size, `[{"big-data-sizes":{`, `"":1`, `}}]`),
		"empty lists":    filled(size, `[{"names":[`, `[]`, `]}]`),
		"more than read": filled(40<<20, `[`, `{"id":"`+strings.Repeat("a", 1000)+`"}`, `]`),
	} {
		for _, file := range []string{"overlay-images/images.json", "overlay-layers/layers.json", "nodeseal/references.json"} {
			fsys := fstest.MapFS{
				"overlay-images/images.json": {Data: []byte("[]")}, "overlay-layers/layers.json": {Data: []byte("[]")},
			}
			fsys[file] = &fstest.MapFile{Data: []byte(text)}
			var err error
			took := memtest.Allocated(func() { _, err = store.Open(fsys) })
			if !errors.Is(err, jsonbound.ErrBound) {
				t.Errorf("%s: %s: error %v", name, file, err)
			}
			most := int64(64 << 20)
			if name == "more than read" {
				most = 1 << 20 // not a byte of it is read
			}
			if took > most {
				t.Errorf("%s: %s: %d MiB were allocated", name, file, took>>20)
			}
		}
	}
}

// TestOpenInventoryBombs: the inventory of a store is looked at for artifacts, and does not stop
// a store with images. It is not parallel: it measures memory.
func TestOpenInventoryBombs(t *testing.T) {
	const head = `{"format":"nodeseal bundle v2","requires":["artifacts"],"layers":"expanded","images":[`
	for name, c := range map[string]struct {
		text string
		most int64
	}{
		"more than read": {filled(40<<20, head, `{"ref":"`+strings.Repeat("a", 1000)+`"}`, `]}`), 1 << 20},
		"empty images":   {filled(30<<20, head, `{}`, `]}`), 64 << 20},
		"no artifacts":   {filled(30<<20, strings.Replace(head, `"artifacts"`, ``, 1), `{"ref":"`+strings.Repeat("a", 1000)+`"}`, `]}`), 64 << 20},
	} {
		fsys := fstest.MapFS{
			"overlay-images/images.json": {Data: []byte("[]")}, "overlay-layers/layers.json": {Data: []byte("[]")},
			"nodeseal/inventory.json": {Data: []byte(c.text)},
		}
		var s *store.Store
		var err error
		took := memtest.Allocated(func() { s, err = store.Open(fsys) })
		if err != nil || len(s.Artifacts) > 0 || s.Empty() {
			t.Errorf("%s: %v, %+v, and it must not count as empty", name, err, s)
		}
		if took > c.most {
			t.Errorf("%s: %d MiB were allocated", name, took>>20)
		}
		if _, err := store.OpenStored(fsys); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: %v, want damage", name, err)
		}
	}
}

// TestOpenLarge opens the records of a store that is larger than any: ten thousand images of ten layers.
func TestOpenLarge(t *testing.T) {
	t.Parallel()
	sum := digest.FromString("x")
	layer := map[string]any{
		"id": sum.Encoded(), "parent": sum.Encoded(), "created": "1970-01-01T00:00:00Z", "diff-digest": sum, "diff-size": 1 << 30,
		"uidset": []int{0, 1, 2, 5, 999, 1000}, "gidset": []int{0, 1, 2, 5, 999, 1000}, "compressed-diff-digest": sum,
	}
	many := make([]any, 50_000)
	for i := range many {
		many[i] = layer
	}
	data, err := json.Marshal(many)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(fstest.MapFS{
		"overlay-images/images.json": {Data: []byte("[]")}, "overlay-layers/layers.json": {Data: data},
	})
	if err != nil || len(s.Layers) != len(many) {
		t.Errorf("%d bytes: %v", len(data), err)
	}
}
