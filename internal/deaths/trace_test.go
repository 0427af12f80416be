//go:build deaths && linux

package deaths

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// changes are the system calls by which a command changes names, flags and mounts: before each of
// them there is a state that a kill can leave. What is written into a file that nothing names yet
// makes no difference to other commands.
func changes(nr uint64, args [6]uint64) bool {
	const setFlags = 0x40086602 // FS_IOC_SETFLAGS
	switch nr {
	case unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_UNLINKAT, unix.SYS_MKDIRAT, unix.SYS_LINKAT, unix.SYS_SYMLINKAT, unix.SYS_MKNODAT,
		unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_MOVE_MOUNT:
		return true
	case unix.SYS_OPENAT:
		return args[2]&unix.O_CREAT != 0
	case unix.SYS_IOCTL:
		return args[1] == setFlags
	}
	return changesOld(nr)
}

// call is a system call that a process is about to make.
type call struct {
	pid  int
	nr   uint64
	args [6]uint64
}

// verdict is what becomes of a call. The zero value lets it be made.
type verdict struct {
	// kill ends the command, with all of its processes, as by a kill -9.
	kill bool
	// fail is what the call fails with; it is not made then.
	fail unix.Errno
}

// onChange kills a command before the change for which before returns true.
func onChange(before func() bool) func(call) verdict {
	return func(c call) verdict { return verdict{kill: changes(c.nr, c.args) && before()} }
}

// trace runs a command and asks before each system call what becomes of it. killed is true if
// one killed it. Else exit is its exit code.
func trace(cmd *exec.Cmd, judge func(call) verdict) (exit int, killed bool, err error) {
	// Only the thread that started a process may trace it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return 0, false, err
	}
	first := cmd.Process.Pid
	defer cmd.Process.Release() //nolint:errcheck // it was waited for below
	var status unix.WaitStatus
	if _, err := unix.Wait4(first, &status, 0, nil); err != nil {
		return 0, false, fmt.Errorf("waiting for the start: %w", err)
	}
	const options = unix.PTRACE_O_EXITKILL | unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE |
		unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC
	if err := unix.PtraceSetOptions(first, options); err != nil {
		return 0, false, fmt.Errorf("tracing: %w", err)
	}
	tracees := map[int]bool{first: true}
	failing := make(map[int]unix.Errno)
	resume := func(pid, signal int) {
		// One that has just been killed by another thread's end is waited for.
		_ = unix.PtraceSyscall(pid, signal)
	}
	resume(first, 0)
	for {
		pid, err := unix.Wait4(-1, &status, unix.WALL, nil)
		if errors.Is(err, unix.ECHILD) {
			return exit, killed, nil
		}
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, killed, fmt.Errorf("waiting: %w", err)
		}
		if status.Exited() || status.Signaled() {
			if pid == first {
				exit = status.ExitStatus()
			}
			delete(tracees, pid)
			continue
		}
		known := tracees[pid]
		tracees[pid] = true
		switch signal := status.StopSignal(); {
		case signal == unix.SIGTRAP|0x80:
			c, enters := entered(pid)
			if e, ok := failing[pid]; ok && !enters {
				delete(failing, pid)
				if err := failCall(pid, e); err != nil {
					return 0, killed, fmt.Errorf("failing a call: %w", err)
				}
			}
			if enters && !killed {
				v := judge(c)
				if v.kill {
					killed = true
					for p := range tracees {
						_ = unix.Kill(p, unix.SIGKILL) // a thread is no process, and ends with it
					}
					continue
				}
				if v.fail != 0 {
					if err := skipCall(pid); err != nil {
						return 0, killed, fmt.Errorf("leaving out a call: %w", err)
					}
					failing[pid] = v.fail
				}
			}
			resume(pid, 0)
		case signal == unix.SIGTRAP, signal == unix.SIGSTOP && !known:
			resume(pid, 0)
		default:
			resume(pid, int(signal))
		}
	}
}

// entered returns the call that a process which has stopped is about to make; false if it
// comes back from one.
func entered(pid int) (call, bool) {
	const (
		getSyscallInfo = 0x420e // PTRACE_GET_SYSCALL_INFO
		entry          = 1      // PTRACE_SYSCALL_INFO_ENTRY
	)
	var info struct {
		Op    uint8
		_     [3]uint8
		Arch  uint32
		IP    uint64
		Stack uint64
		NR    uint64
		Args  [6]uint64
	}
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, getSyscallInfo, uintptr(pid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	return call{pid, info.NR, info.Args}, errno == 0 && info.Op == entry
}

// command is a command of the program, whose output goes to a file.
func command(out *os.File, bin string, args ...string) *exec.Cmd {
	cmd := exec.Command(bin, args...)
	cmd.Stdout, cmd.Stderr = out, out
	return cmd
}
