package nodestatus_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/nodestatus"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/storageconf"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// BenchmarkStatus is the status of a node with 400 images of six layers each,
// sealed and configured: it has to take less than a second.
func BenchmarkStatus(b *testing.B) {
	testenv.NeedRoot(b)
	src := storetest.NewSource(b, bundle.Expanded)
	var base [][]byte
	for i := range 4 {
		base = append(base, storetest.Tar(b, storetest.File(fmt.Sprintf("base/%d", i), "base")))
	}
	for i := range 400 {
		own := storetest.Tar(b, storetest.File("own", fmt.Sprint(i)))
		top := storetest.Tar(b, storetest.File("top", fmt.Sprint(i)))
		layers := append(base[:len(base):len(base)], own, top)
		src.Add(storetest.Image{Repository: fmt.Sprintf("example.com/image-%d", i), Layers: layers, Index: i%2 == 0, Tags: []string{"v1"}})
	}
	dir := testenv.NeedFSOfSize(b, "ext4", 1<<30)
	root, err := slot.Open(filepath.Join(dir, "nodeseal"), slot.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		for _, n := range slot.Names() {
			_ = seal.Unmount(root.Path(n))
		}
	})
	if _, err := root.Fill(b.Context(), src, slot.FillOptions{Now: time.Unix(1, 0)}); err != nil {
		b.Fatal(err)
	}
	stores := []string{root.Path(slot.A), root.Path(slot.B)}
	for b.Loop() {
		status, err := nodestatus.Collect(b.Context(), nodestatus.Options{
			Root: root, Views: []storageconf.View{{Program: storageconf.CRIO, Storage: nodeconfig.Storage{GraphRoot: "/none", Stores: stores}}},
			Node: slot.Node{Stores: stores, Proc: "/proc"}, Scratch: filepath.Join(b.TempDir(), "check"), Now: time.Unix(2, 0),
		})
		if err != nil || !status.RebootOK() || status.Visible != 800 {
			b.Fatalf("%+v, %v", status, err)
		}
	}
}
