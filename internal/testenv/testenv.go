// Package testenv says what a test needs of the machine. Where it is missing
// the test is skipped and the reason printed; with NODESEAL_REQUIRE=1, as in CI,
// which installs everything, the test fails instead.
package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// requireVar names the environment variable that forbids skipping.
const requireVar = "NODESEAL_REQUIRE"

// Require ends the test with a reason (format, args) where ok is false: skipped,
// or failed with NODESEAL_REQUIRE=1.
func Require(t testing.TB, ok bool, format string, args ...any) {
	t.Helper()
	if ok {
		return
	}
	if os.Getenv(requireVar) == "1" {
		t.Fatalf(requireVar+"=1, and "+format, args...)
	}
	t.Skipf("skipped: "+format, args...)
}

// NeedRoot wants the test to run as root of the machine, not of a user
// namespace.
func NeedRoot(t testing.TB) {
	t.Helper()
	Require(t, os.Geteuid() == 0, "the test needs root")
	data, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	whole := []string{"0", "0", strconv.FormatUint(1<<32-1, 10)}
	Require(t, slices.Equal(strings.Fields(string(data)), whole), "the test needs root outside of a user namespace")
}

// NeedTool wants a program and returns its path. The folders of administrators'
// programs are searched too, which an ordinary user's PATH lacks.
func NeedTool(t testing.TB, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	Require(t, false, "the test needs the program %s", name)
	return ""
}
