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
			if took > 64<<20 {
				t.Errorf("%s: %s: %d MiB were allocated", name, file, took>>20)
			}
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
