package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nodeseal/nodeseal/internal/testenv"
)

// TestNotRoot holds that users who may not read or make a store are told so at once, and
// not that something is damaged or missing.
func TestNotRoot(t *testing.T) {
	testenv.NeedRoot(t)
	dir, err := os.MkdirTemp("", "nodeseal-not-root-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	slots := filepath.Join(dir, "slots")
	for name, mode := range map[string]os.FileMode{dir: 0o755, slots: 0o755, filepath.Join(slots, "a"): 0o700, filepath.Join(slots, "b"): 0o700} {
		if err := errors.Join(os.MkdirAll(name, mode), os.Chmod(name, mode)); err != nil {
			t.Fatal(err)
		}
	}
	// The program, where that user can start it.
	program := filepath.Join(dir, "nodeseal")
	copyProgram(t, program)
	tests := map[string]struct {
		args []string
		want string
	}{
		"status":       {[]string{"status", "--root", slots}, "status as user 54321: it needs root"},
		"import":       {[]string{"import", "none.tar.zst", "--root", slots}, "importing as user 54321: it needs root"},
		"import store": {[]string{"import", "none.tar.zst", "--store", "store"}, "importing as user 54321: it needs root"},
		"reseal":       {[]string{"reseal", "none.tar.zst", "--root", slots}, "importing as user 54321: it needs root"},
		"import-stick": {[]string{"import-stick", dir, "--root", slots}, "importing as user 54321: it needs root"},
		"repair":       {[]string{"verify", filepath.Join(slots, "a"), "--repair", "none.tar.zst"}, "importing as user 54321: it needs root"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(program, tc.args...)
			cmd.Dir = dir
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54321}}
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != exitPrecondition {
				t.Errorf("%v, want exit code %d", err, exitPrecondition)
			}
			if text := string(out); !strings.Contains(text, tc.want) || strings.Contains(text, "damaged") {
				t.Errorf("it says:\n%s", text)
			}
		})
	}
}

// copyProgram copies this program, which is nodeseal by that name.
func copyProgram(t *testing.T, to string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	f, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(f, from)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}
