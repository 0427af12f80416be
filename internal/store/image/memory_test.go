package image_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"testing"

	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// The environment of TestMemory's child.
const (
	memoryBundle = "NODESEAL_TEST_BUNDLE"
	memoryOut    = "NODESEAL_TEST_OUT"
)

// TestMemoryChild is no test of its own: it is the process whose memory TestMemory
// measures.
func TestMemoryChild(t *testing.T) {
	path := os.Getenv(memoryBundle)
	if path == "" {
		t.SkipNow()
	}
	const jobs = 2
	debug.SetMemoryLimit(image.MemoryLimit(jobs))
	f, err := archive.OpenFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := image.Import(t.Context(), f, os.Getenv(memoryOut), store.ImportOptions{Jobs: jobs}); err != nil {
		t.Fatal(err)
	}
}

// TestMemory makes an image of half a million files: what is known of each of them is in
// a file, and 243 MiB were resident. In memory it was 307 MiB, and 431 MiB for a million.
func TestMemory(t *testing.T) {
	testenv.NeedRoot(t)
	if testing.Short() {
		t.Skip("half a million files take a while")
	}
	const images, files, limit = 50, 10_000, 280 << 20
	at := t.TempDir()
	path, out := filepath.Join(at, "big.tar.zst"), filepath.Join(at, "store.erofs")
	storetest.Big{Images: images, Files: files}.WriteBundle(t, path)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMemoryChild$", "-test.timeout=0")
	cmd.Env = append(os.Environ(), memoryBundle+"="+path, memoryOut+"="+out)
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, msg)
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		t.Fatal("no usage of the child is known")
	}
	t.Logf("%d files: %d MiB resident, %v of processor time", images*files, usage.Maxrss>>10,
		cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
	if peak := usage.Maxrss << 10; peak > limit {
		t.Errorf("%d MiB resident, want at most %d", peak>>20, limit>>20)
	}
}
