package workdir

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/internal/memtest"
)

// FuzzRecord: no record of a work directory makes a layer known that the directory has not got.
func FuzzRecord(f *testing.F) {
	blob := digest.FromString("layer")
	good, err := json.Marshal(Record{Blob: blob, Size: 5, Inline: NewInline([]byte("layer")), Frames: []seekable.Frame{{Compressed: 5, Content: 5}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"blob":"` + blob.String() + `","size":-1,"table":{}}`))
	f.Add([]byte(`{"encoder":"e","blob":"` + blob.String() + `","frames":[{"Compressed":9223372036854775807},{"Compressed":9223372036854775807}]}`))
	f.Add(memtest.Repeat(1<<20, `{"blob":"`+blob.String()+`","frames":[`, `{},`, `{}]}`))
	f.Add(memtest.Repeat(1<<20, `{"x":`, `[`, ``))
	w := &Dir{root: f.TempDir(), encoder: "e"}
	if err := os.MkdirAll(filepath.Join(w.root, dirLayers), 0o755); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(w.recordPath(blob), data, 0o600); err != nil {
			t.Fatal(err)
		}
		memtest.Hold(t, 16*int64(len(data))+16<<20, func() {
			for _, form := range []bundle.LayerForm{bundle.Original, bundle.Expanded, Kept} {
				rec := w.Record(blob, blob, form)
				if rec == nil {
					continue
				}
				rec.PlainSize()
				rec.DiskSize()
				if !rec.Inline.whole() || form != bundle.Original && !rec.Table.Inline.whole() { // there are no other files
					t.Errorf("%s: %q is a record of a layer that is not there", form, data)
				}
			}
		})
	})
}
