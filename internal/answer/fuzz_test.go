package answer

import (
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/memtest"
)

// FuzzHead: what serve reads of a manifest of a store takes little memory, whatever the manifest is.
func FuzzHead(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"mediaType":"x","subject":{"digest":"sha256:y"}}`))
	f.Add([]byte(`{"manifests":[{"digest":"sha256:y"}]}`))
	f.Add([]byte(`<html>`))
	f.Add(memtest.Repeat(bundle.MaxSmallBlob, `{"layers":[{}`, `,{}`, `]}`))
	f.Add(memtest.Repeat(bundle.MaxSmallBlob, `{"annotations":{"":""`, `,"":""`, `}}`))
	f.Add(memtest.Repeat(bundle.MaxSmallBlob, "", "[", ""))
	f.Fuzz(func(t *testing.T, data []byte) {
		memtest.Hold(t, 16*int64(len(data))+32<<20, func() {
			if mediaTypeOf(data) == "" {
				t.Errorf("%.300q has no media type", data)
			}
			_ = subjectOf(data)
		})
	})
}
