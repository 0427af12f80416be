// Package pages gives pages of the program's own file back to the kernel. Much of
// a large program is only touched while it starts; a process that then runs
// for months need not keep it resident.
package pages

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Drop lets go of all pages of the program's code and constants. Those that are
// used again come back from the page cache. What was written to is not touched.
func Drop() error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("dropping pages: %w", err)
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("dropping pages: %w", err)
	}
	defer maps.Close()
	var failed error
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		from, to, ok := readOnly(lines.Text(), program)
		if !ok {
			continue
		}
		// Private pages of a file that cannot be written to are those of the file.
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED); errno != 0 {
			failed = errors.Join(failed, os.NewSyscallError("madvise", errno))
		}
	}
	return errors.Join(failed, lines.Err())
}

// readOnly reads one line of /proc/PID/maps. It says where the mapping is, and
// whether it is one of the program's that cannot be written to.
func readOnly(line, program string) (from, to uintptr, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 6 || fields[5] != program || len(fields[1]) != 4 || fields[1][1] != '-' {
		return 0, 0, false
	}
	if _, err := fmt.Sscanf(fields[0], "%x-%x", &from, &to); err != nil {
		return 0, 0, false
	}
	return from, to, to > from
}
