//go:build deaths && !amd64

package deaths

import "golang.org/x/sys/unix"

func changesOld() []uint64 { return nil }

// canFail says whether calls can be made to fail here.
const canFail = false

func failCall(int, unix.Errno) error { return unix.ENOSYS }
