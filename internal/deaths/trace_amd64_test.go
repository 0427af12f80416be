//go:build deaths

package deaths

import "golang.org/x/sys/unix"

// changesOld are the calls that later architectures do not have.
func changesOld(nr uint64) bool {
	switch nr {
	case unix.SYS_RENAME, unix.SYS_UNLINK, unix.SYS_RMDIR, unix.SYS_MKDIR, unix.SYS_LINK, unix.SYS_SYMLINK, unix.SYS_MKNOD:
		return true
	}
	return false
}

// canFail says whether calls can be made to fail here.
const canFail = true

// skipCall makes the kernel leave out the system call that a process is about to make.
func skipCall(pid int) error {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(pid, &regs); err != nil {
		return err
	}
	regs.Orig_rax = ^uint64(0)
	return unix.PtraceSetRegs(pid, &regs)
}

// failCall makes the system call that a process comes back from fail with e.
func failCall(pid int, e unix.Errno) error {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(pid, &regs); err != nil {
		return err
	}
	regs.Rax = uint64(-int64(e))
	return unix.PtraceSetRegs(pid, &regs)
}
