//go:build e2e

package harness

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// LoopbackOnly makes a network namespace in which only lo is up, and returns the
// words to put before a command to run it there. (ip netns exec would remount
// /sys and hide the cgroups.)
func LoopbackOnly(t testing.TB) []string {
	t.Helper()
	name := fmt.Sprintf("nodeseal-%d", os.Getpid())
	Must(t, "ip", "netns", "add", name)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", name).Run() })
	Must(t, "ip", "-n", name, "link", "set", "lo", "up")
	return []string{"nsenter", "--net=/run/netns/" + name}
}
