package split_test

import (
	"bytes"
	"errors"
	"github.com/nodeseal/nodeseal/internal/memtest"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/split"
)

func FuzzParse(f *testing.F) {
	sum := "sha256:" + strings.Repeat("a", 64)
	f.Add([]byte(`{"format":"nodeseal parts v1","name":"b.tar.zst","size":3,"sha256":"` + sum +
		`","parts":[{"name":"b.tar.zst.000","size":2,"sha256":"` + sum + `"},{"name":"b.tar.zst.001","size":1,"sha256":"` + sum + `"}]}`))
	f.Add([]byte(`{}`))
	f.Add(memtest.Repeat(1<<20, `{"format":"nodeseal parts v1","parts":[`, `{},`, `{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var p *split.List
		var err error
		memtest.Hold(t, 16*int64(len(data))+16<<20, func() { p, err = split.Parse(bytes.NewReader(data)) })
		if err != nil {
			if !errors.Is(err, bundle.ErrInventory) {
				t.Errorf("error %v", err)
			}
			return
		}
		var size int64
		for i, part := range p.Parts {
			if part.Name != split.PartName(p.Name, i) || strings.Contains(part.Name, "/") {
				t.Errorf("part %q", part.Name)
			}
			size += part.Size
		}
		if size != p.Size {
			t.Errorf("parts of %d bytes, bundle of %d", size, p.Size)
		}
	})
}
