//go:build e2e

package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/nodeseal/nodeseal/e2e/harness"
)

// slotForm is an image in a slot: import fills the first one, reseal the second,
// beside one that holds an older release.
type slotForm struct {
	imageForm
	command, slot string
	// olderBundle is what slot a has before a reseal, older what is made of it.
	olderBundle string
	older       imageForm
	empty       harness.Tree // of a slot that holds nothing
	conf        string       // a storage.conf of nobody
}

func newSlotForm(t *testing.T, command string, whole crashForm, olderBundle string) *slotForm {
	t.Helper()
	f := &slotForm{command: command, slot: "a", olderBundle: olderBundle}
	var wholeOK, olderOK bool
	f.imageForm, wholeOK = whole.(imageForm)
	f.older, olderOK = wantImage(t, olderBundle).(imageForm)
	if !wholeOK || !olderOK {
		t.Fatal("no image")
	}
	if command == "reseal" {
		f.slot = "b"
	}
	dir := t.TempDir()
	f.conf = harness.WriteFile(t, "storage.conf", "[storage]\ndriver = \"overlay\"\nrunroot = \""+dir+"/run\"\ngraphroot = \""+dir+"/graph\"\n")
	harness.MustNodeseal(t, "mount", "--root", f.root(dir))
	f.empty = harness.ReadTree(t, filepath.Join(f.root(dir), "a"))
	f.removeSlots(t, dir)
	return f
}

func (*slotForm) root(dir string) string { return filepath.Join(dir, "nodeseal") }

func (f *slotForm) prepare(t *testing.T, dir string) {
	t.Helper()
	if f.command == "reseal" {
		harness.MustNodeseal(t, "import", "--quiet", "--root", f.root(dir), "--format", "image", f.olderBundle)
	}
}

func (f *slotForm) args(dir, bundle string) []string {
	return []string{f.command, "--quiet", "--root", f.root(dir), "--format", "image", bundle}
}

func (f *slotForm) seen() []func(string) bool {
	image := "nodeseal/" + f.slot + ".erofs"
	prepared := "nodeseal/.work/new-" + f.slot + ".erofs"
	return append(making("nodeseal/.work/.new-"+f.slot+".erofs").seen(), there(prepared+".sha256"), there(prepared),
		there(image+".sha256"), there(image), there("nodeseal/"+f.slot+"/nodeseal"))
}

// visible looks at the slots as the machine finds them, mounts them as its unit does,
// and looks again.
func (f *slotForm) visible(t *testing.T, dir string) bool {
	t.Helper()
	holds := make(map[string]*imageForm) // what the slots may hold
	if f.command == "reseal" {
		holds["a"] = &f.older
	}
	filled := false
	for _, name := range []string{"a", "b"} {
		path := filepath.Join(f.root(dir), name)
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			if err := validStore(path); err != nil {
				t.Fatalf("slot %s before it is mounted: %v", name, err)
			}
		}
		if name == f.slot {
			if filled = f.whole(t, path+".erofs"); filled {
				holds[name] = &f.imageForm
			}
		} else if form := holds[name]; form != nil && !form.whole(t, path+".erofs") {
			t.Fatalf("slot %s has lost its image", name)
		}
	}
	harness.MustNodeseal(t, "mount", "--root", f.root(dir))
	for _, name := range []string{"a", "b"} {
		want := f.empty
		if form := holds[name]; form != nil {
			want = form.want
		}
		path := filepath.Join(f.root(dir), name)
		if err := validStore(path); err != nil {
			t.Fatalf("slot %s: %v", name, err)
		}
		if diff := harness.Diff(want, harness.ReadTree(t, path), nil); len(diff) > 0 {
			t.Fatalf("slot %s is not whole: %q", name, diff)
		}
	}
	return filled
}

func (f *slotForm) remove(t *testing.T, dir string) {
	t.Helper()
	f.sealed(t, filepath.Join(f.root(dir), f.slot))
	left, err := os.ReadDir(filepath.Join(f.root(dir), ".work"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		t.Errorf("beside the slots there is %s", e.Name())
	}
	f.removeSlots(t, dir)
}

// removeSlots takes the slots away.
func (f *slotForm) removeSlots(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"a", "b"} {
		harness.MustNodeseal(t, "retire", name, "--empty-node", "--staged", "--root", f.root(dir), "--storage-conf", f.conf)
		harness.MustNodeseal(t, "unseal", "--quiet", filepath.Join(f.root(dir), name))
	}
	if err := os.RemoveAll(f.root(dir)); err != nil {
		t.Fatal(err)
	}
}
