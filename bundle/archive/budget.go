package archive

import "github.com/nodeseal/nodeseal/internal/budget"

// The memory of readers, in bytes: what all layers, and all file tables, that the process
// has open at the same time take for their frames. A layer in the frames that nodeseal
// writes takes 12 to 18 MiB, one in the longest frames 48.
const (
	LayerBudget = 144 << 20
	TableBudget = 32 << 20
)

// layers and tables are what Readers share. Memory is the process's, so these are, too.
//
//nolint:gochecknoglobals // as said
var (
	layers = budget.New(LayerBudget)
	tables = budget.New(TableBudget)
)

// memory is what a reader of m takes: the frame that is being read, the next one, and
// the compressed bytes of one.
func (b *Reader) memory(m member) int64 {
	var content, compressed int64
	for i := b.frameAt(m.off); i < len(b.frames) && b.frames[i].tar < m.end(); i++ {
		content = max(content, b.frames[i].Content)
		compressed = max(compressed, b.frames[i].Compressed)
	}
	return 2*content + compressed
}
