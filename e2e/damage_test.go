//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/nodeseal/nodeseal/e2e/harness"
)

// exitDamage is the exit code of verification that found damage.
const exitDamage = 4

// testDamage flips one bit at a time all over a bundle. verify finds each and
// names what is hurt; import refuses, and leaves no store, but where every
// content still has its digest.
func (f *flow) testDamage(t *testing.T) {
	sound := harness.ReadFile(t, f.bundle)
	reference := harness.ReadTree(t, f.importStore(t, "--no-seal"))
	path := filepath.Join(t.TempDir(), "damaged.tar.zst")
	if err := os.WriteFile(path, sound, 0o644); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for i, offset := range sample(len(sound)) {
		bad := []byte{sound[offset] ^ 1<<(i%8)}
		if _, err := file.WriteAt(bad, int64(offset)); err != nil {
			t.Fatal(err)
		}
		f.checkVerify(t, path, offset)
		if i%4 == 0 {
			f.checkImport(t, path, offset, reference)
		}
		if _, err := file.WriteAt(sound[offset:offset+1], int64(offset)); err != nil {
			t.Fatal(err)
		}
	}
	harness.MustNodeseal(t, "verify", path) // as it was again
}

// sample is offsets over the whole of a file: its first bytes, its last, where
// the hash of all and the seek table are, and steps between.
func sample(size int) []int {
	var offsets []int
	for _, i := range []int{0, 1, 4, 5, 8, 20, 100, 512} {
		offsets = append(offsets, i, size-1-i)
	}
	for tail := 16; tail < 8<<10; tail = tail*5/4 + 1 {
		offsets = append(offsets, size-tail)
	}
	const steps = 24
	for i := 1; i < steps; i++ {
		offsets = append(offsets, size/steps*i)
	}
	slices.Sort(offsets)
	return slices.Compact(offsets)
}

// checkVerify wants damage to be found. Where it is in a blob, the blob and an
// image are named.
func (f *flow) checkVerify(t *testing.T, path string, offset int) {
	t.Helper()
	out := harness.Nodeseal(t, "verify", path)
	if out.Code != exitDamage {
		t.Errorf("bit flipped at %d: verify exits %d, want %d\n%s%s", offset, out.Code, exitDamage, out.Stdout, out.Stderr)
	}
	text := append(out.Stdout, out.Stderr...)
	if len(text) == 0 {
		t.Errorf("bit flipped at %d: verify says nothing", offset)
	}
	blob := regexp.MustCompile(`(blob|layer|file table|config|manifest|index)\S* sha256:[0-9a-f]{64}`)
	if blob.Match(text) && !regexp.MustCompile(`quay\.io/\S+@sha256:`).Match(text) {
		t.Errorf("bit flipped at %d: verify names a blob but no image\n%s", offset, text)
	}
}

// checkImport wants the damaged bundle refused and no store made, or a store
// that is right.
func (f *flow) checkImport(t *testing.T, path string, offset int, reference harness.Tree) {
	t.Helper()
	store := harness.StorePath(t)
	out := harness.Nodeseal(t, "import", path, "--store", store, "--no-seal")
	left, err := os.ReadDir(filepath.Dir(store))
	if err != nil {
		t.Fatal(err)
	}
	switch out.Code {
	case 0:
		for _, line := range harness.Diff(reference, harness.ReadTree(t, store), nil) {
			t.Errorf("bit flipped at %d: import exits 0, but: %s", offset, line)
		}
	case exitDamage:
		if _, err := os.Lstat(store); !os.IsNotExist(err) {
			t.Errorf("bit flipped at %d: import exits %d and leaves %v", offset, exitDamage, left)
		}
	default:
		t.Errorf("bit flipped at %d: import exits %d, want %d\n%s", offset, out.Code, exitDamage, out.Stderr)
	}
}

// testCut cuts a bundle short.
func (f *flow) testCut(t *testing.T) {
	sound := harness.ReadFile(t, f.bundle)
	path := filepath.Join(t.TempDir(), "cut.tar.zst")
	for _, length := range []int{0, 1, 100, len(sound) / 3, len(sound) / 2, len(sound) - 100, len(sound) - 9, len(sound) - 1} {
		if err := os.WriteFile(path, sound[:length], 0o644); err != nil {
			t.Fatal(err)
		}
		store := harness.StorePath(t)
		for _, args := range [][]string{{"verify", path}, {"import", path, "--store", store, "--no-seal"}} {
			if out := harness.Nodeseal(t, args...); out.Code != exitDamage {
				t.Errorf("cut to %d of %d bytes: %s exits %d, want %d\n%s", length, len(sound), args[0], out.Code, exitDamage, out.Stderr)
			}
		}
		if _, err := os.Lstat(store); !os.IsNotExist(err) {
			t.Errorf("cut to %d of %d bytes: import leaves a store", length, len(sound))
		}
	}
}
