//go:build bench

package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// TestSize measures time and memory of what a node does with releases of 30, 120 and 500
// images of 4,000 small files each, and with one of five million files, as images only:
// import, verify, status, and reseal to a release in which a fifth of the images is
// another. The stores lie on the cache's file system.
func TestSize(t *testing.T) {
	testenv.NeedRoot(t)
	program := os.Getenv("NODESEAL_BIN")
	testenv.Require(t, program != "", "the benchmark needs the program in NODESEAL_BIN")
	for _, size := range []struct {
		images, files int
		formats       []string
	}{
		{30, 4_000, []string{"dir", "image"}},
		{120, 4_000, []string{"dir", "image"}},
		{500, 4_000, []string{"dir", "image"}},
		{500, 10_000, []string{"image"}},
	} {
		for _, format := range size.formats {
			t.Run(fmt.Sprintf("%dx%d/%s", size.images, size.files, format), func(t *testing.T) {
				old, renewed := bigBundle(t, size.images, size.files, 0), bigBundle(t, size.images, size.files, size.images/5)
				root := sealedRoot(t, program)
				step := func(name string, args ...string) {
					t.Helper()
					cmd := exec.Command(program, args...)
					t.Logf("%-7s %s | load %s", name, measure(t, cmd), load(t))
				}
				fill := func(command, bundle string) {
					t.Helper()
					step(command, command, "--quiet", "--gc-threshold=0", "--root", root, "--format", format, bundle)
				}
				fill("import", old)
				conf := storageConf(t, root)
				step("status", "status", "--root", root, "--storage-conf", conf)
				step("verify", "verify", "--quiet", filepath.Join(root, "a"))
				fill("reseal", renewed)
			})
		}
	}
}

// bigBundle returns a bundle of small files, which stays in the cache.
func bigBundle(t testing.TB, images, files, changed int) string {
	t.Helper()
	path := filepath.Join(cacheDir(t), fmt.Sprintf("big-%d-%d-%d.tar.zst", images, files, changed))
	if _, err := os.Stat(path); err != nil {
		storetest.Big{Images: images, Files: files, Changed: changed}.WriteBundle(t, path+".part")
		check(t, os.Rename(path+".part", path))
	}
	return path
}

// storageConf writes a storage.conf with both slots, without which status exits with 4.
func storageConf(t testing.TB, root string) string {
	t.Helper()
	at := t.TempDir()
	path := filepath.Join(at, "storage.conf")
	check(t, os.WriteFile(path, fmt.Appendf(nil,
		"[storage]\ndriver = \"overlay\"\ngraphroot = %q\nrunroot = %q\n[storage.options]\nadditionalimagestores = [%q, %q]\n",
		filepath.Join(at, "graph"), filepath.Join(at, "run"), filepath.Join(root, "a"), filepath.Join(root, "b")), 0o600))
	return path
}

// sealedRoot returns a directory for slots, in the cache, which the test's end removes.
func sealedRoot(t testing.TB, program string) string {
	t.Helper()
	at, err := os.MkdirTemp(cacheDir(t), "size-")
	check(t, err)
	root := filepath.Join(at, "slots")
	check(t, os.Mkdir(root, 0o755))
	t.Cleanup(func() {
		_ = try(exec.Command(program, "umount", "--root", root))
		_ = try(exec.Command(testenv.NeedTool(t, "chattr"), "-R", "-f", "-i", root))
		check(t, os.RemoveAll(at))
	})
	return root
}
