package extract_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/nodeseal/nodeseal/bundle/filetable"
	"github.com/nodeseal/nodeseal/internal/store/extract"
	. "github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// benchLayer is a layer as releases have them: many small files, some large ones.
func benchLayer(b *testing.B) (plain, table []byte) {
	// Knuth's generator: content that does not compress, the same each time.
	state := uint64(1)
	next := func() int {
		state = state*6364136223846793005 + 1442695040888963407
		return int(state >> 33)
	}
	content := make([]byte, 4<<20)
	for i := range content {
		content[i] = byte(next())
	}
	var entries []Entry
	for i := range 4000 {
		if i%20 == 0 {
			entries = append(entries, Dir(fmt.Sprintf("usr/share/%d/", i/20)))
		}
		size := next() % (8 << 10)
		if i%100 == 0 {
			size = next() % len(content)
		}
		entries = append(entries, File(fmt.Sprintf("usr/share/%d/%d", i/20, i), string(content[:size])))
	}
	plain = Tar(b, entries...)
	var buf bytes.Buffer
	w := filetable.NewWriter(&buf)
	if err := filetable.Tabulate(bytes.NewReader(plain), w, nil); err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return plain, buf.Bytes()
}

func BenchmarkLayer(b *testing.B) {
	testenv.NeedRoot(b)
	plain, table := benchLayer(b)
	b.SetBytes(int64(len(plain)))
	b.ReportAllocs()
	parent := b.TempDir()
	var extractor extract.Extractor
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		dir := filepath.Join(parent, fmt.Sprint(i))
		if err := os.Mkdir(dir, 0o700); err != nil {
			b.Fatal(err)
		}
		f, err := os.Open(dir)
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		_, err = extractor.Layer(b.Context(), bytes.NewReader(plain), f, io.Discard, extract.Options{
			Table: filetable.NewReader(bytes.NewReader(table)),
		})
		b.StopTimer()
		f.Close()
		if err != nil {
			b.Fatal(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
