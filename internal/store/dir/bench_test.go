package dir_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// BenchmarkTinyImages imports images of two layers, one of which all share. The
// time of an image must not grow with their number.
func BenchmarkTinyImages(b *testing.B) {
	testenv.NeedRoot(b)
	for _, n := range []int{200, 1000, 4000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			src := storetest.NewSource(b, bundle.Expanded)
			base := storetest.Tar(b, storetest.Dir("etc/"), storetest.File("etc/os-release", "NAME=tiny\n"))
			for i := range n {
				src.Add(storetest.Image{
					Repository: fmt.Sprintf("quay.io/tiny/image-%d", i), Compression: "gzip",
					Layers: [][]byte{base, storetest.Tar(b, storetest.File("number", fmt.Sprint(i)))},
				})
			}
			src.Inventory()
			parent := b.TempDir()
			for i := 0; b.Loop(); i++ {
				target := filepath.Join(parent, fmt.Sprint(i))
				if _, err := dir.Import(b.Context(), src, target, store.ImportOptions{}); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := os.RemoveAll(target); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/image")
		})
	}
}
