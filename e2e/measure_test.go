//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/e2e/apiserver"
	"github.com/nodeseal/nodeseal/e2e/harness"
)

// measured is what one run of nodeseal took.
type measured struct {
	took, cpu, serverCPU time.Duration
	// peak is the most memory that it had, in bytes; printed is its output.
	peak, printed int64
	// busy says that more wanted to run than the machine has processors for.
	busy bool
}

// measure runs nodeseal, which must succeed. The peak is read while it runs: what
// the system says of a process that has ended counts its parent's memory, too.
func measure(t *testing.T, server *apiserver.Server, args ...string) measured {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(harness.Binary(t), args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	m := measured{serverCPU: -server.CPU()}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			m.peak = max(m.peak, peakOf(cmd.Process.Pid))
			continue
		case err := <-done:
			if err != nil {
				t.Fatalf("nodeseal: %v\n%s", err, stderr.Bytes())
			}
		}
		break
	}
	m.took = time.Since(start).Round(10 * time.Millisecond)
	m.cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Round(10 * time.Millisecond)
	m.serverCPU += server.CPU()
	m.printed = int64(stdout.Len())
	var load float64
	if data, err := os.ReadFile("/proc/loadavg"); err == nil {
		_, _ = fmt.Sscan(string(data), &load)
	}
	m.busy = load > 2*float64(runtime.NumCPU())
	return m
}

// peakOf is the most memory that a process had so far, in bytes; 0 where it ended.
func peakOf(pid int) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	var kib int64
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			_, _ = fmt.Sscan(rest, &kib)
		}
	}
	return kib << 10
}
