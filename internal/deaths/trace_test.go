//go:build deaths && linux

package deaths

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Of all ioctls, those that change a file: FS_IOC_SETFLAGS, FICLONE, FICLONERANGE.
const setFlags, clone, cloneRange = 0x40086602, 0x40049409, 0x4020940d

// changes are the system calls by which a command changes names, flags and mounts: before each of
// them there is a state that a kill can leave. What is written into a file that nothing names yet
// makes no difference to other commands. Of openat it is those that create a file.
func changes() []uint64 {
	return append(changesOld(),
		unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_UNLINKAT, unix.SYS_MKDIRAT, unix.SYS_LINKAT, unix.SYS_SYMLINKAT, unix.SYS_MKNODAT,
		unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_MOVE_MOUNT, unix.SYS_OPENAT, unix.SYS_IOCTL)
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
	return func(c call) verdict {
		return verdict{kill: (c.nr != unix.SYS_IOCTL || c.args[1] == setFlags) && before()}
	}
}

// trace runs a command and asks before each of some system calls what becomes of it. killed is true
// if one killed it. Else exit is its exit code.
func trace(cmd *exec.Cmd, calls []uint64, judge func(call) verdict) (exit int, killed bool, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, false, err
	}
	numbers, err := json.Marshal(calls)
	if err != nil {
		return 0, false, err
	}
	cmd.Path, cmd.Env = self, append(os.Environ(), stopAtEnv+"="+string(numbers))
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
	const options = unix.PTRACE_O_EXITKILL | unix.PTRACE_O_TRACESECCOMP | unix.PTRACE_O_TRACECLONE |
		unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC
	if err := unix.PtraceSetOptions(first, options); err != nil {
		return 0, false, fmt.Errorf("tracing: %w", err)
	}
	tracees := map[int]bool{first: true}
	resume := func(pid, signal int) {
		// One that has just been killed by another thread's end is waited for.
		_ = unix.PtraceCont(pid, signal)
	}
	resume(first, 0)
	for {
		// Other threads may trace commands of their own.
		pid, err := unix.Wait4(-1, &status, unix.WALL|unix.WNOTHREAD, nil)
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
		case signal == unix.SIGTRAP && status.TrapCause() == unix.PTRACE_EVENT_SECCOMP:
			if c, ok := entered(pid); ok && !killed {
				v := judge(c)
				if v.kill {
					killed = true
					for p := range tracees {
						_ = unix.Kill(p, unix.SIGKILL) // a thread is no process, and ends with it
					}
					continue
				}
				if v.fail != 0 {
					if err := failCall(pid, v.fail); err != nil {
						return 0, killed, fmt.Errorf("failing a call: %w", err)
					}
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

// stopAtEnv has the numbers of the calls that a program stops at.
const stopAtEnv = "NODESEAL_DEATHS_STOP_AT"

// TestMain becomes the program of its first argument, if that is to stop at system calls.
func TestMain(m *testing.M) {
	numbers, ok := os.LookupEnv(stopAtEnv)
	if !ok {
		os.Exit(m.Run())
	}
	runtime.LockOSThread() // the filter is the thread's
	var calls []uint64
	err := json.Unmarshal([]byte(numbers), &calls)
	if err == nil {
		err = os.Unsetenv(stopAtEnv)
	}
	if err == nil {
		err = stopAt(calls)
	}
	if err == nil {
		err = syscall.Exec(os.Args[0], os.Args, os.Environ())
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// stopAt makes the program that this thread becomes stop at the calls, for the one that traces it:
// stopping at all calls, before and after them, takes many times as long.
func stopAt(calls []uint64) error {
	const (
		number, second, third = 0, 16 + 8, 16 + 2*8 // in struct seccomp_data: nr, the low halves of args[1] and args[2]
		allow, stop           = unix.SECCOMP_RET_ALLOW, unix.SECCOMP_RET_TRACE
	)
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	ret := func(what uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: what} }
	filter := []unix.SockFilter{load(number)}
	for _, nr := range calls {
		then := []unix.SockFilter{ret(stop)}
		switch nr {
		case unix.SYS_OPENAT: // only to create a file
			then = []unix.SockFilter{load(third), {Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: unix.O_CREAT, Jf: 1}, ret(stop), ret(allow)}
		case unix.SYS_IOCTL:
			then = []unix.SockFilter{load(second)}
			for _, request := range []uint32{setFlags, clone, cloneRange} {
				then = append(then, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: request, Jf: 1}, ret(stop))
			}
			then = append(then, ret(allow))
		}
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(nr), Jf: uint8(len(then))}) //nolint:gosec // small numbers
		filter = append(filter, then...)
	}
	filter = append(filter, ret(allow))
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]} //nolint:gosec // some tens
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("stopping at system calls: %w", errno)
	}
	return nil
}

// entered returns the call that a process which has stopped is about to make.
func entered(pid int) (call, bool) {
	const (
		getSyscallInfo = 0x420e // PTRACE_GET_SYSCALL_INFO
		atFilter       = 3      // PTRACE_SYSCALL_INFO_SECCOMP
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
	return call{pid, info.NR, info.Args}, errno == 0 && info.Op == atFilter
}

// command is a command of the program, whose output goes to a file.
func command(out *os.File, bin string, args ...string) *exec.Cmd {
	cmd := exec.Command(bin, args...)
	cmd.Stdout, cmd.Stderr = out, out
	return cmd
}
