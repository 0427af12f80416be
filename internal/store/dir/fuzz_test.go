package dir

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/memtest"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/build"
	"github.com/nodeseal/nodeseal/internal/store/extract"
)

// FuzzRecord: a record that an import left counts for the layer that it is about only.
func FuzzRecord(f *testing.F) {
	l := &store.Layer{ID: "layer", DiffID: digest.FromString("layer")}
	good, err := json.Marshal(record{Format: recordFormat, Layer: &extract.Result{DiffID: l.DiffID, UIDs: []uint32{0, 1}, Files: 2}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"format":"` + recordFormat + `","layer":null}`))
	f.Add(good[:len(good)/2])
	f.Add(memtest.Repeat(1<<20, `{"format":"`+recordFormat+`","layer":{"uids":[`, `0,`, `0]}}`))
	f.Add(memtest.Repeat(1<<20, `{"x":`, `[`, ``))
	im := &importer{partial: &partial{records: f.TempDir()}}
	job := &build.Job{Layers: []*store.Layer{l}}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(im.recordPath(l)+syncedSuffix, data, 0o600); err != nil {
			t.Fatal(err)
		}
		memtest.Hold(t, 16*int64(len(data))+16<<20, func() {
			done, err := im.readRecord(job)
			if len(data) <= maxRecord && err != nil || done != nil && done.DiffID != l.DiffID {
				t.Errorf("%q: %+v, %v", data, done, err)
			}
		})
	})
}
