//go:build e2e

package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/samplerelease"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// kills is how often an import is killed on each file system.
const kills = 50

// crash is a bundle, and the store that an import without trouble makes of it.
type crash struct {
	bundle string
	want   harness.Tree
}

func newCrash(t *testing.T) *crash {
	t.Helper()
	testenv.NeedRoot(t)
	release, err := samplerelease.Build(samplerelease.Options{})
	if err != nil {
		t.Fatal(err)
	}
	addr, stop, err := release.Serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}()
	c := &crash{bundle: filepath.Join(t.TempDir(), "release.tar.zst")}
	harness.MustNodeseal(t, "bundle", "--quiet", "-o", c.bundle, "--work", filepath.Join(t.TempDir(), "work"),
		"--images", harness.WriteFile(t, "images.lst", release.ImagesList()),
		"--registries-conf", harness.WriteFile(t, "registries.conf", samplerelease.RegistriesConf(addr)))
	target := harness.StorePath(t)
	harness.MustNodeseal(t, "import", "--quiet", "--no-seal", "--store", target, c.bundle)
	c.want = harness.ReadTree(t, target)
	return c
}

// moment is when an import is killed: after a path is there, and some time more.
// Both are relative to the directory that holds the store.
type moment struct {
	path  string
	delay time.Duration
}

// moments are spread over all phases of an import to the directory "store".
func moments() []moment {
	paths := []string{
		"", // from the start of the process
		".store.partial", ".store.partial/store/overlay", ".store.partial/records/*", ".store.partial/store/nodeseal",
		".store.partial/check", "store",
	}
	var all []moment
	for i := range kills {
		all = append(all, moment{paths[i%len(paths)], time.Duration(i/len(paths)) * 7 * time.Millisecond})
	}
	return all
}

// await returns when the moment has come, or the channel is closed.
func (m moment) await(dir string, over <-chan struct{}) {
	for m.path != "" {
		if found, err := filepath.Glob(filepath.Join(dir, m.path)); err == nil && len(found) > 0 {
			break
		}
		select {
		case <-over:
			return
		case <-time.After(200 * time.Microsecond):
		}
	}
	select {
	case <-over:
	case <-time.After(m.delay):
	}
}

// phase names how far an import came, by what it left in dir.
func phase(dir string) string {
	is := func(name string) bool {
		_, err := os.Lstat(filepath.Join(dir, name))
		return err == nil
	}
	switch {
	case is("store"):
		return "seal"
	case is(".store.partial/check"):
		return "check"
	case is(".store.partial/store/nodeseal"):
		return "metadata"
	case is(".store.partial/store/overlay"):
		return "extract"
	case is(".store.partial"):
		return "begin"
	default:
		return "plan"
	}
}

// start starts an import to dir/store. The channel is closed when it has ended.
func (c *crash) start(t *testing.T, dir string) (*exec.Cmd, <-chan struct{}) {
	t.Helper()
	cmd := exec.Command(harness.Binary(t), "import", "--quiet", "--no-mount", "--store", filepath.Join(dir, "store"), c.bundle)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it may be killed
		close(over)
	}()
	return cmd, over
}

// wholeOrNone wants dir/store to be the whole store, or not to be.
func (c *crash) wholeOrNone(t *testing.T, dir string) bool {
	t.Helper()
	target := filepath.Join(dir, "store")
	if _, err := os.Lstat(target); errors.Is(err, os.ErrNotExist) {
		return false
	}
	if diff := harness.Diff(c.want, harness.ReadTree(t, target), nil); len(diff) > 0 {
		t.Fatalf("a store is visible that is not whole: %q", diff)
	}
	return true
}

// finish imports once more and wants the whole store and nothing beside it, then
// takes it away.
func (c *crash) finish(t *testing.T, dir string) {
	t.Helper()
	target := filepath.Join(dir, "store")
	harness.MustNodeseal(t, "import", "--quiet", "--no-mount", "--store", target, c.bundle)
	if !c.wholeOrNone(t, dir) {
		t.Fatal("there is no store")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "store" && e.Name() != "lost+found" {
			t.Errorf("beside the store there is %s", e.Name())
		}
	}
	harness.MustNodeseal(t, "unseal", "--quiet", target)
	if err := os.RemoveAll(target); err != nil {
		t.Fatal(err)
	}
}

// TestCrashKill kills imports with SIGKILL at fifty moments on each file system.
// Most runs go on from what the killed one before left; every fifth is let go.
func TestCrashKill(t *testing.T) {
	c := newCrash(t)
	for _, fs := range []string{"ext4", "xfs", "btrfs"} {
		t.Run(fs, func(t *testing.T) {
			dir := testenv.NeedFS(t, fs)
			hit := make(map[string]int)
			for i, m := range moments() {
				cmd, over := c.start(t, dir)
				m.await(dir, over)
				_ = cmd.Process.Kill() // it may have ended
				<-over
				hit[phase(dir)]++
				if c.wholeOrNone(t, dir) || i%5 == 4 {
					c.finish(t, dir)
				}
			}
			c.finish(t, dir)
			t.Logf("killed in these phases: %v", hit)
			for _, p := range []string{"plan", "extract", "metadata", "check", "seal"} {
				if hit[p] == 0 {
					t.Errorf("no import was killed in the phase %s", p)
				}
			}
		})
	}
}
