//go:build e2e

package harness

import (
	"fmt"
	"os/exec"
	"testing"
	"time"
)

// LoopbackOnly makes a network namespace in which only lo is up, and returns the
// words to put before a command to run it there. (ip netns exec would remount
// /sys and hide the cgroups.)
func LoopbackOnly(t testing.TB) []string {
	t.Helper()
	// Process IDs are those of the tests' own namespace: each run has the same ones, and
	// one that was killed leaves its name.
	name := fmt.Sprintf("nodeseal-%d", time.Now().UnixNano())
	Must(t, "ip", "netns", "add", name)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", name).Run() })
	Must(t, "ip", "-n", name, "link", "set", "lo", "up")
	return []string{"nsenter", "--net=/run/netns/" + name}
}
