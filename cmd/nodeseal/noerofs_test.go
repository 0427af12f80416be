package main

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mainWithoutEROFS is main on a kernel that has no EROFS: it refuses to open the file
// system, as one of which nobody ever heard. Only store images are mounted that way.
func mainWithoutEROFS() {
	const loadWord, jumpEqual, result = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	program := []unix.SockFilter{
		{Code: loadWord}, // the number of the call
		{Code: jumpEqual, K: unix.SYS_FSOPEN, Jf: 1},
		{Code: result, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENODEV)},
		{Code: result, K: unix.SECCOMP_RET_ALLOW},
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&filter)))
	if errno != 0 {
		fmt.Fprintln(os.Stderr, "seccomp:", errno)
		os.Exit(1)
	}
	main()
}
