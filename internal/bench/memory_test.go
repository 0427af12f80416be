//go:build bench

package bench

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// ready makes the machine ready to measure: nothing waits to be written, memory is in
// use, and what a way reads is in memory; the disk's speed would be measured, not the
// way's.
func ready(t testing.TB, paths ...string) {
	t.Helper()
	unix.Sync()
	useMemory(t)
	for _, root := range paths {
		check(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			return readAll(path)
		}))
	}
}

func readAll(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, f)
	return errors.Join(err, f.Close())
}

// spare is what useMemory leaves, in bytes.
const spare = 2 << 30

// holes makes the file that useMemory reads. Its pages stay in memory until something
// else needs that.
var holes = sync.OnceValues(func() (*os.File, error) {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return nil, err
	}
	var available int64
	for line := range strings.Lines(string(data)) {
		if n, _ := fmt.Sscanf(line, "MemAvailable: %d", &available); n == 1 {
			break
		}
	}
	f, err := os.CreateTemp("", "holes")
	if err != nil {
		return nil, err
	}
	return f, errors.Join(os.Remove(f.Name()), f.Truncate(max(available<<10-spare, 0)))
})

// useMemory leaves little memory that holds nothing, as on a machine that has been up
// for a while. A virtual machine gets a page from its host when it first touches
// it, and gives those back that it has no use for: here that took up to 2 µs for each
// KiB, more than all else that an import does with it.
func useMemory(t testing.TB) {
	t.Helper()
	f, err := holes()
	check(t, err)
	_, err = io.Copy(io.Discard, io.NewSectionReader(f, 0, 1<<62))
	check(t, err)
}
