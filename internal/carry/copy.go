package carry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/atomicfile"
	"github.com/nodeseal/nodeseal/internal/safefile"
)

// block is how much is compared, copied and read back at once, in bytes.
const block = 1 << 20

// item is a file in the making on the stick.
type item struct {
	name string // slash-separated, below the stick
	perm fs.FileMode
	size int64
	from io.ReaderAt
}

func contentItem(name string, perm fs.FileMode, content []byte) item {
	return item{name: name, perm: perm, size: int64(len(content)), from: bytes.NewReader(content)}
}

// put makes the file, or keeps it where it is the same, and returns the sha256
// of its bytes. What a killed run had written is gone on with. It has its final
// name when it was read back from the device and is what the source gave.
func (f *filler) put(ctx context.Context, it item) (sum string, err error) {
	f.progress.Working(phase, it.name)
	if err := f.root.MkdirAll(path.Dir(it.name), 0o755); err != nil {
		return "", refused(it.name, err)
	}
	if info, err := f.root.Lstat(it.name); err == nil && info.Mode().IsRegular() && info.Size() == it.size {
		if sum, err := f.compare(ctx, it.name, it); err == nil {
			f.progress.Add(phase, it.size)
			return sum, nil
		} else if !errors.Is(err, errDiffers) {
			return "", err
		}
	}
	temp := it.name + atomicfile.Suffix
	out, err := f.root.Resume(temp, it.perm)
	if err != nil {
		return "", refused(it.name, err)
	}
	defer func() {
		if out != nil {
			err = errors.Join(err, out.Close())
		}
	}()
	if err := f.copyInto(ctx, out, it); err != nil {
		return "", err
	}
	if err := errors.Join(out.Chmod(it.perm), out.Sync()); err != nil {
		return "", fmt.Errorf("writing %s: %w", it.name, err)
	}
	err = out.Close()
	out = nil
	if err != nil {
		return "", fmt.Errorf("writing %s: %w", it.name, err)
	}
	sum, err = f.compare(ctx, temp, it)
	if errors.Is(err, errDiffers) {
		return "", errors.Join(fmt.Errorf("%s: %w", it.name, ErrMedium), f.root.Remove(temp))
	}
	if err != nil {
		return "", err
	}
	if err := f.root.Rename(temp, it.name); err != nil {
		return "", fmt.Errorf("writing %s: %w", it.name, err)
	}
	return sum, f.root.SyncDir(path.Dir(it.name))
}

// refused says what to do about a link, a pipe or a second name in the place of a
// file that is to be written. Nothing is written through it.
func refused(name string, err error) error {
	next := ""
	if errors.Is(err, safefile.ErrNotRegular) || errors.Is(err, safefile.ErrLinked) {
		next = ": remove it, or take an empty stick"
	}
	return fmt.Errorf("writing %s: %w%s", name, err, next)
}

// copyInto writes what is missing in out: where it begins as the source does,
// the rest.
func (f *filler) copyInto(ctx context.Context, out *os.File, it item) error {
	have, want := make([]byte, block), make([]byte, block)
	same := true
	for off := int64(0); off < it.size; off += block {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := int(min(block, it.size-off))
		if _, err := it.from.ReadAt(want[:n], off); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("reading what becomes %s: %w", it.name, err)
		}
		if same {
			m, err := out.ReadAt(have[:n], off)
			same = m == n && bytes.Equal(have[:n], want[:n])
			if err != nil && !errors.Is(err, io.EOF) {
				return fmt.Errorf("going on with %s: %w", it.name, err)
			}
		}
		if !same {
			if _, err := out.WriteAt(want[:n], off); err != nil {
				return fmt.Errorf("writing %s: %w", it.name, err)
			}
		}
		f.progress.Add(phase, int64(n))
	}
	if err := out.Truncate(it.size); err != nil {
		return fmt.Errorf("writing %s: %w", it.name, err)
	}
	return nil
}

// errDiffers says that a file is not what it should be.
var errDiffers = errors.New("differs")

// compare reads a file of the stick, from the device and not from memory, and
// returns its sha256. It returns errDiffers where it is not what it.from gives.
func (f *filler) compare(ctx context.Context, name string, it item) (string, error) {
	in, err := f.root.Open(name)
	if err != nil {
		return "", fmt.Errorf("reading back %s: %w", it.name, err)
	}
	defer in.Close()
	if err := unix.Fadvise(int(in.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return "", fmt.Errorf("reading back %s: %w", it.name, err)
	}
	sum := sha256.New()
	have, want := make([]byte, block), make([]byte, block)
	for off := int64(0); off < it.size; off += block {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n := int(min(block, it.size-off))
		if _, err := it.from.ReadAt(want[:n], off); err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("reading what becomes %s: %w", it.name, err)
		}
		if _, err := in.ReadAt(have[:n], off); err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("reading back %s: %w", it.name, err)
		}
		if !bytes.Equal(have[:n], want[:n]) {
			return "", errDiffers
		}
		sum.Write(have[:n])
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
