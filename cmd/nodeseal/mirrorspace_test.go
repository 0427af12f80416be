package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/nodeseal/nodeseal/internal/testenv"
	"github.com/nodeseal/nodeseal/internal/testregistry"
)

// on makes a command work and write on another file system.
func on(cmd *exec.Cmd, point string) *exec.Cmd {
	cmd.Args = append(cmd.Args, "-o", filepath.Join(point, "b.tar.zst"), "--work", filepath.Join(point, "work"))
	return cmd
}

func exitOf(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

// TestBundleNoSpace holds that a file system that is too small is refused before
// one layer is moved.
func TestBundleNoSpace(t *testing.T) {
	t.Parallel()
	point := testenv.NeedFSOfSize(t, "ext4", 8<<20)
	m := newMirrored(t)
	for _, flags := range [][]string{{"--dry-run"}, nil} {
		out, err := on(m.command("run", flags...), point).CombinedOutput()
		if exitOf(err) != exitPrecondition || !bytes.Contains(out, []byte("not enough space in "+point)) {
			t.Errorf("%v: %v\n%s", flags, err, out)
		}
	}
	for _, left := range []string{"work/frames/*", "work/compressed/*", "b.tar.zst*"} {
		if found, _ := filepath.Glob(filepath.Join(point, left)); len(found) != 0 {
			t.Errorf("moved: %q", found)
		}
	}
}

// TestBundleDiskFills fills the file system while layers come: the run fails
// with the reason, and goes on when there is room again.
func TestBundleDiskFills(t *testing.T) {
	t.Parallel()
	point := testenv.NeedFSOfSize(t, "ext4", 64<<20)
	m := newMirrored(t)
	want := undisturbed(t)
	m.registry = m.again()
	filler := filepath.Join(point, "filler")
	var filling sync.Mutex // an answer may still be under way when the command has ended
	filled := false
	m.registry.Trouble = func(q testregistry.Request) testregistry.Fault {
		if q.Blob == m.layers[3].Digest {
			filling.Lock()
			defer filling.Unlock()
			if !filled {
				filled = true
				fill(t, filler)
			}
		}
		return testregistry.Fault{}
	}
	for _, flags := range [][]string{{"--keep-going"}, nil} {
		out, err := on(m.command("run", flags...), point).CombinedOutput()
		if exitOf(err) != exitPrecondition || !bytes.Contains(out, []byte("no space left on device")) || !bytes.Contains(out, []byte("make room")) {
			t.Errorf("%v: %v\n%s", flags, err, out)
		}
		if left, _ := filepath.Glob(filepath.Join(point, "b.tar.zst*")); len(left) != 0 {
			t.Errorf("left: %q", left)
		}
		filling.Lock()
		check(t, os.Remove(filler))
		filled = flags == nil // only the two runs above end so
		filling.Unlock()
	}
	if out, err := on(m.command("run"), point).CombinedOutput(); err != nil {
		t.Fatalf("with room again: %v\n%s", err, out)
	}
	check(t, os.Rename(filepath.Join(point, "b.tar.zst"), filepath.Join(point, "copy")))
	data, err := os.ReadFile(filepath.Join(point, "copy"))
	check(t, err)
	check(t, os.WriteFile(m.path("run.tar.zst"), data, 0o600))
	if got := m.sum("run"); got != want {
		t.Errorf("%s, on a disk with room %s", got, want)
	}
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	f, err := os.Create(path)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	block := make([]byte, 64<<10)
	for err == nil {
		_, err = f.Write(block)
	}
}
