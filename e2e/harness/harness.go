//go:build e2e

// Package harness starts the real components that the end-to-end tests use and
// looks at files and stores without any code of the program under test.
package harness

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/nodeseal/nodeseal/internal/testenv"
)

// Output is what a program left.
type Output struct {
	Stdout, Stderr []byte
	Code           int
}

// Nodeseal runs the binary of NODESEAL_BIN and returns what it left, whatever
// its exit code.
func Nodeseal(t testing.TB, args ...string) Output {
	t.Helper()
	return Run(t, Binary(t), args...)
}

// MustNodeseal is Nodeseal for what has to succeed.
func MustNodeseal(t testing.TB, args ...string) Output {
	t.Helper()
	out := Nodeseal(t, args...)
	if out.Code != 0 {
		t.Fatalf("nodeseal %q: exit code %d\n%s%s", args, out.Code, out.Stderr, out.Stdout)
	}
	return out
}

// Binary is the path of the binary under test.
func Binary(t testing.TB) string {
	t.Helper()
	path := os.Getenv("NODESEAL_BIN")
	_, err := os.Stat(path)
	testenv.Require(t, err == nil, "the test needs the binary, built by make build, in NODESEAL_BIN: %v", err)
	return path
}

// Run runs a program and returns what it left, whatever its exit code. A program
// that cannot be started ends the test.
func Run(t testing.TB, program string, args ...string) Output {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", program, err)
	}
	return Output{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), Code: cmd.ProcessState.ExitCode()}
}

// Must runs an independent tool, which the test needs and which has to succeed,
// and returns its standard output.
func Must(t testing.TB, tool string, args ...string) []byte {
	t.Helper()
	out := Run(t, testenv.NeedTool(t, tool), args...)
	if out.Code != 0 {
		t.Fatalf("%s %q: exit code %d\n%s%s", tool, args, out.Code, out.Stderr, out.Stdout)
	}
	return out.Stdout
}

// StorePath is a path for a store that does not exist yet. What is there at the
// end of the test is unmounted, loses its immutable flags and is removed.
func StorePath(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store")
	t.Cleanup(func() {
		unmount(path)
		// Links and devices have no flags: chattr complains and goes on.
		_ = exec.Command("chattr", "-R", "-f", "-i", filepath.Dir(path)).Run()
	})
	return path
}

// GraphRoot is a directory in which the storage library keeps layers. What it
// leaves mounted there is unmounted at the end of the test.
func GraphRoot(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() { unmount(filepath.Join(dir, "overlay")) })
	return dir
}

// unmount takes away all mounts on path, which may lie one over another.
func unmount(path string) {
	for exec.Command("umount", path).Run() == nil {
		continue
	}
}

// ReadFile reads a file that has to be there.
func ReadFile(t testing.TB, path ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// WriteFile writes a file into a directory of the test and returns its path.
func WriteFile(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
