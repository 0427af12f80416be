//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

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
	members := harness.Members(t, path)
	offsets := sample(len(sound), members)
	t.Logf("flipping a bit at %d of %d bytes, in %d members", len(offsets), len(sound), len(members))
	for i, offset := range offsets {
		bad := []byte{sound[offset] ^ 1<<(i%8)}
		if _, err := file.WriteAt(bad, int64(offset)); err != nil {
			t.Fatal(err)
		}
		f.checkVerify(t, path, offset, members)
		if i%4 == 0 {
			f.checkImport(t, path, offset, reference)
		}
		if _, err := file.WriteAt(sound[offset:offset+1], int64(offset)); err != nil {
			t.Fatal(err)
		}
	}
	harness.MustNodeseal(t, "verify", path) // as it was again
}

// sample is offsets over the whole of a bundle: its first bytes, its last, where
// the hash of all and the seek table are, steps between, and some small members.
func sample(size int, members []harness.Member) []int {
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
	for i := 0; i < len(members); i += 7 {
		offsets = append(offsets, int(members[i].Begin+members[i].End)/2)
	}
	slices.Sort(offsets)
	return slices.Compact(offsets)
}

// verified is what verify --json says.
type verified struct {
	Damage []struct{ Member, Blob, Error string }
	Hurt   []string
}

// checkVerify wants damage to be found, the damaged blob to be named, and every
// image that needs it.
func (f *flow) checkVerify(t *testing.T, path string, offset int, members []harness.Member) {
	t.Helper()
	out := harness.Nodeseal(t, "verify", path, "--json", "--quiet")
	if out.Code != exitDamage {
		t.Errorf("bit flipped at %d: verify exits %d, want %d\n%s%s", offset, out.Code, exitDamage, out.Stdout, out.Stderr)
	}
	i := slices.IndexFunc(members, func(m harness.Member) bool { return m.Begin <= int64(offset) && int64(offset) < m.End })
	if i < 0 || !strings.HasPrefix(members[i].Name, "blobs/sha256/") {
		if len(out.Stdout)+len(out.Stderr) == 0 {
			t.Errorf("bit flipped at %d: verify says nothing", offset)
		}
		return
	}
	var got verified
	if err := json.Unmarshal(out.Stdout, &got); err != nil {
		t.Errorf("bit flipped at %d: verify --json: %v\n%s", offset, err, out.Stdout)
	}
	blob := digest.NewDigestFromEncoded(digest.SHA256, filepath.Base(members[i].Name))
	named := false
	for _, d := range got.Damage {
		named = named || d.Blob == blob.String()
	}
	if !named {
		t.Errorf("bit flipped at %d: verify does not name %s\n%s", offset, blob, out.Stdout)
	}
	for _, ref := range f.needing(blob) {
		if !slices.Contains(got.Hurt, ref) {
			t.Errorf("bit flipped at %d, in %s: verify does not name %s\n%s", offset, blob, ref, out.Stdout)
		}
	}
}

// needing is the references of the images that need a blob.
func (f *flow) needing(blob digest.Digest) []string {
	tables := make(map[digest.Digest]digest.Digest) // of layers
	for _, b := range f.inventory.Blobs {
		tables[b.Digest] = b.Table
	}
	var refs []string
	for _, img := range f.inventory.Images {
		needs := []digest.Digest{img.Digest, img.Index, img.Config.Digest}
		for _, l := range img.Layers {
			needs = append(needs, l.DiffID, tables[l.DiffID])
		}
		if slices.Contains(needs, blob) {
			refs = append(refs, img.Ref)
		}
	}
	return refs
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
