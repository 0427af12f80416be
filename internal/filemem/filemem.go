// Package filemem keeps large tables in a file: memory that the kernel may write to
// the disk and take away, so that what grows with the number of files of a release
// needs no more of a node's memory than a fixed part of it.
package filemem

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	firstExtent = 1 << 20
	maxExtent   = 16 << 20
	align       = 64 // of what Make returns: a line of the processor's cache

	// Budget is how much of a Space stays in this process's memory.
	Budget = 48 << 20
	// touches is after how many calls of Touch the memory in use is looked at. Each
	// touch may bring in some pages, of which the kernel maps 64 KiB at once.
	touches = 128
)

// Space is memory in one file. A nil *Space is ordinary memory. Its methods may be
// called by many goroutines at once, but for Close.
type Space struct {
	f *os.File

	mu      sync.Mutex
	extents [][]byte
	free    []byte // of the last extent
	size    int64
	statm   *os.File

	base  atomic.Int64 // shared memory of the process without the Space
	big   atomic.Bool  // size is more than Budget
	calls atomic.Uint32
}

// New returns a Space in the file f, which is empty and stays the caller's: it may have
// no name, and nothing in it is of use afterwards.
func New(f *os.File) *Space {
	s := &Space{f: f}
	s.statm, _ = os.Open("/proc/self/statm") // without it nothing is given back
	s.base.Store(s.shared())
	return s
}

// Make returns n zero elements. T must not hold pointers: the garbage collector does
// not look into a Space. The error wraps unix.ENOSPC if the disk is full.
func Make[T any](s *Space, n int) ([]T, error) {
	if s == nil || n == 0 {
		return make([]T, n), nil
	}
	var one T
	b, err := s.alloc(n * int(unsafe.Sizeof(one)))
	if err != nil {
		return nil, fmt.Errorf("memory in a file: %w", err)
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), n), nil //nolint:gosec // b has room for n of T, aligned
}

func (s *Space) alloc(n int) ([]byte, error) {
	n = (n + align - 1) &^ (align - 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > len(s.free) {
		size := min(max(firstExtent, int(s.size)), maxExtent)
		size = max(size, (n+os.Getpagesize()-1)&^(os.Getpagesize()-1))
		if err := s.extend(size); err != nil {
			return nil, err
		}
	}
	b := s.free[:n:n]
	s.free = s.free[n:]
	return b, nil
}

// extend maps size bytes more. They are allocated on the disk first: a page that the
// disk has no room for would end the process.
func (s *Space) extend(size int) error {
	err := unix.Fallocate(int(s.f.Fd()), 0, s.size, int64(size))
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = s.fill(int64(size))
	}
	if err != nil {
		return err
	}
	b, err := unix.Mmap(int(s.f.Fd()), s.size, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	s.extents, s.free = append(s.extents, b), b
	s.size += int64(size)
	s.big.Store(s.size > Budget)
	return nil
}

// fill writes size zeros at the end.
func (s *Space) fill(size int64) error {
	zeros := make([]byte, 1<<20)
	for end := s.size + size; size > 0; size -= int64(len(zeros)) {
		if _, err := s.f.WriteAt(zeros[:min(size, int64(len(zeros)))], end-size); err != nil {
			return err
		}
	}
	return nil
}

// Touch is called beside each access that may be to any place of the Space, before or
// after it. From time to time it gives pages back to the kernel: what they hold stays.
func (s *Space) Touch() {
	if s == nil || !s.big.Load() || s.calls.Add(1)%touches != 0 || s.shared()-s.base.Load() <= Budget {
		return
	}
	s.Trim()
}

// Trim takes the Space out of this process's memory; what it holds stays, and comes
// back as it is used.
func (s *Space) Trim() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.extents {
		_ = unix.Madvise(b, unix.MADV_DONTNEED) // it is advice
	}
	s.base.Store(s.shared()) // with what of the program has come in since
}

// Close unmaps the Space: what Make returned must not be used any more. It may be
// called twice, also on nil.
func (s *Space) Close() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for _, b := range s.extents {
		err = errors.Join(err, unix.Munmap(b))
	}
	if s.statm != nil {
		err = errors.Join(err, s.statm.Close())
	}
	s.extents, s.free, s.statm = nil, nil, nil
	return err
}

// shared is the memory of this process that is pages of files, in bytes, 0 if the
// kernel does not tell.
func (s *Space) shared() int64 {
	if s.statm == nil {
		return 0
	}
	var buf [128]byte
	n, _ := s.statm.ReadAt(buf[:], 0) // it is shorter: io.EOF
	fields := bytes.Fields(buf[:n])
	if len(fields) < 3 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[2]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
