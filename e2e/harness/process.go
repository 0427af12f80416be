//go:build e2e

package harness

import (
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// Process is a program that a test may kill, with all that it has started.
type Process struct {
	cmd  *exec.Cmd
	over chan struct{}
	err  error
}

// Start starts a program in a process group of its own.
func Start(t testing.TB, program string, args ...string) *Process {
	t.Helper()
	p := &Process{cmd: exec.Command(program, args...), over: make(chan struct{})}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.over)
	}()
	return p
}

// Over is closed when the program itself has ended.
func (p *Process) Over() <-chan struct{} { return p.over }

// Kill kills the program and what it has started, where it has not ended, and
// returns when the last process is gone: until then it may hold files and mounts.
// The error is that of the program's end.
func (p *Process) Kill(t testing.TB) error {
	t.Helper()
	group := -p.cmd.Process.Pid
	_ = syscall.Kill(group, syscall.SIGKILL) // it may have ended
	<-p.over
	for range 6000 {
		if syscall.Kill(group, syscall.SIGKILL) != nil {
			return p.err
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("processes that %s started are still there a minute after they were killed", p.cmd.Path)
	return p.err
}
