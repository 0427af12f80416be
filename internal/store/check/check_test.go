package check_test

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// The library must not copy this process: a copy has its locks and mounts, and
// outlives it where both are killed at a bad moment. This test is alone in its
// program, which has no other children.
func TestNoCopyOfTheProcess(t *testing.T) {
	testenv.NeedRoot(t)
	src := storetest.NewSource(t, bundle.Expanded)
	storetest.Images(t, src)
	// The last step of an import is this package's Store, with a mount.
	if _, err := dir.Import(t.Context(), src, filepath.Join(t.TempDir(), "store"), store.ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	var ended unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &ended); err != nil {
		t.Fatal(err)
	}
	if ended.Maxrss != 0 {
		t.Errorf("a child of this process, of %d KiB, has ended", ended.Maxrss)
	}
}
