//go:build deaths

package deaths

import "golang.org/x/sys/unix"

// changesOld are the calls that later architectures do not have.
func changesOld() []uint64 {
	return []uint64{unix.SYS_RENAME, unix.SYS_UNLINK, unix.SYS_RMDIR, unix.SYS_MKDIR, unix.SYS_LINK, unix.SYS_SYMLINK, unix.SYS_MKNOD}
}

// canFail says whether calls can be made to fail here.
const canFail = true

// failCall makes the system call that a process is about to make fail with e: the kernel leaves
// out a call of this number, and what is in the register is what it returns.
func failCall(pid int, e unix.Errno) error {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(pid, &regs); err != nil {
		return err
	}
	regs.Orig_rax = ^uint64(0)
	regs.Rax = uint64(-int64(e))
	return unix.PtraceSetRegs(pid, &regs)
}
