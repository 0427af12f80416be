package slot

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestNodeUses: the node needs its last filled slot, and what was filled since it started.
func TestNodeUses(t *testing.T) {
	boot := BootID()
	if boot == "" {
		t.Skip("the boot ID cannot be read")
	}
	r := newRoot(t)
	uses := func(n Name, node Node) (kinds []Kind) {
		t.Helper()
		s, err := r.Read(n)
		if err != nil {
			t.Fatal(err)
		}
		found, err := r.Uses(s, node)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range found {
			if !u.Lasts() {
				t.Errorf("%s: waiting is said to help", u)
			}
			kinds = append(kinds, u.Kind)
		}
		return kinds
	}
	want := func(what string, n Name, node Node, want ...Kind) {
		t.Helper()
		if got := uses(n, node); !slices.Equal(got, want) {
			t.Errorf("%s: slot %s is needed by %v, want %v", what, n, got, want)
		}
	}
	fill(t, r, 1)
	want("one slot", A, Node{}, Last)
	want("one slot", A, Node{Boot: boot, EmptyStaged: true}, Last)
	want("one slot, given up", A, Node{Boot: boot, EmptyNode: true})
	fill(t, r, 2)
	want("the older", A, Node{Boot: boot})
	want("the newer", B, Node{Boot: boot}, Staged)
	want("the newer, given up", B, Node{Boot: boot, EmptyStaged: true})
	want("the newer, given up otherwise", B, Node{Boot: boot, EmptyNode: true}, Staged)
	want("the newer, after a start", B, Node{Boot: "another"})
	if _, err := r.Repair(t.Context(), release(t, 2), B, FillOptions{}); err != nil {
		t.Fatal(err)
	}
	want("the newer, repaired", B, Node{Boot: boot}, Staged)
	hurt(t, r, B, func(path string) error {
		return os.WriteFile(filepath.Join(path, "overlay-images", "images.json"), []byte("[{"), 0o600)
	})
	want("the other one is damaged", A, Node{Boot: boot}, Last)
}

// TestClockOf1970: the slot that was filled last is the newer one also on a node whose clock
// lost its time in between.
func TestClockOf1970(t *testing.T) {
	boot := BootID()
	if boot == "" {
		t.Skip("the boot ID cannot be read")
	}
	r := newRoot(t)
	fill(t, r, 1)
	if _, err := r.Fill(t.Context(), release(t, 2), FillOptions{Now: time.Unix(0, 0)}); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[Name]bool{A: false, B: true} {
		s, err := r.Read(n)
		if err != nil {
			t.Fatal(err)
		}
		uses, err := r.Uses(s, Node{Boot: boot})
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.ContainsFunc(uses, func(u Use) bool { return u.Kind == Staged }); got != want {
			t.Errorf("slot %s is the newer one: %v, want %v", n, got, want)
		}
	}
}
