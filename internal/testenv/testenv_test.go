package testenv

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// recorder is a test that notes how it ended.
type recorder struct {
	testing.TB
	skipped, failed string
}

func (r *recorder) Helper() {}

func (r *recorder) Skipf(format string, args ...any) {
	r.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// record runs f as a test function would be run.
func record(t *testing.T, f func(t testing.TB)) *recorder {
	t.Helper()
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r
}

func TestMissing(t *testing.T) {
	need := func(t testing.TB) { NeedTool(t, "no-such-program") }
	t.Setenv(requireVar, "")
	if r := record(t, need); !strings.Contains(r.skipped, "no-such-program") || r.failed != "" {
		t.Errorf("skipped %q, failed %q, want a skip with the reason", r.skipped, r.failed)
	}
	t.Setenv(requireVar, "1")
	if r := record(t, need); !strings.Contains(r.failed, "no-such-program") || r.skipped != "" {
		t.Errorf("skipped %q, failed %q, want a failure with the reason", r.skipped, r.failed)
	}
	if r := record(t, func(t testing.TB) { Require(t, true, "x") }); r.skipped != "" || r.failed != "" {
		t.Errorf("skipped %q, failed %q, want neither", r.skipped, r.failed)
	}
}

func TestNeedTool(t *testing.T) {
	t.Parallel()
	if got := NeedTool(t, "mount"); !filepath.IsAbs(got) {
		t.Errorf("NeedTool = %q, want a path", got)
	}
}

func TestNeedFS(t *testing.T) {
	t.Parallel()
	for _, fsType := range []string{"ext4", "xfs", "btrfs", "tmpfs", "ramfs"} {
		var point string
		t.Run(fsType, func(t *testing.T) {
			point = NeedFS(t, fsType)
			if err := os.WriteFile(filepath.Join(point, "f"), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		})
		if _, err := os.Stat(point); point != "" && !os.IsNotExist(err) {
			t.Errorf("%s: the mount point is still there: %v", fsType, err)
		}
	}
}
