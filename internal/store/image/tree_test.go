package image

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/vbatts/tar-split/archive/tar"

	"github.com/nodeseal/nodeseal/internal/filemem"
)

// TestLargeTree has trees that need chunks of the file, twice, so that the second one gets
// those of the first one.
func TestLargeTree(t *testing.T) {
	t.Parallel()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	space := filemem.New(f)
	defer space.Close()
	memory := &treeMemory{space: space}
	const files = 70_000
	long := strings.Repeat("x", 30)
	name := func(i int) string { return fmt.Sprintf("%d/%s%d", i/1000, long, i) }
	for round := range 2 {
		tree := newTree(memory, nil)
		for i := range files {
			err := tree.Create(&tar.Header{
				Typeflag: tar.TypeSymlink, Name: name(i), Linkname: fmt.Sprint(round, i), Uid: i,
				PAXRecords: map[string]string{"SCHILY.xattr.trusted.x": fmt.Sprint(round, i)},
			}, name(i), nil)
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := tree.End(); err != nil {
			t.Fatal(err)
		}
		for i := range files {
			dir, err := tree.find(fmt.Sprint(i / 1000))
			if err != nil {
				t.Fatal(err)
			}
			n := tree.child(dir, fmt.Sprint(long, i))
			if n == nil || n.uid != uint32(i) || string(tree.texts.at(n.target)) != fmt.Sprint(round, i) || tree.xattr(n, "trusted.x") != fmt.Sprint(round, i) {
				t.Fatalf("%s: %+v", name(i), n)
			}
		}
		dir, _ := tree.find("0")
		tree.remove(dir, fmt.Sprint(long, 7))
		seen := 0
		for range tree.children(dir) {
			seen++
		}
		if seen != 999 || tree.child(dir, fmt.Sprint(long, 7)) != nil {
			t.Errorf("%d children after one of 1,000 was removed", seen)
		}
		tree.free()
		tree.free()
	}
	if len(memory.nodes.free) == 0 || len(memory.entries.free) == 0 || len(memory.slots.free) == 0 || len(memory.texts.free) == 0 {
		t.Error("the file was not used")
	}
}
