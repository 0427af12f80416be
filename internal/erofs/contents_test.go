package erofs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/erofs"
)

// builder is a Builder over new files.
func builder(t testing.TB, opts erofs.Options) (*erofs.Builder, *os.File) {
	t.Helper()
	image := create(t, filepath.Join(t.TempDir(), "image"))
	b, err := erofs.New(image, opts)
	if err != nil {
		t.Fatal(err)
	}
	return b, image
}

func withSpool(t testing.TB) erofs.Options {
	t.Helper()
	opts := options(dir())
	opts.Spool = create(t, filepath.Join(t.TempDir(), "spool"))
	return opts
}

func reserve(t testing.TB, b *erofs.Builder, size int64) erofs.Content {
	t.Helper()
	c, err := b.Reserve(size, 1)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func finish(t testing.TB, b *erofs.Builder) erofs.Image {
	t.Helper()
	image, err := b.Finish(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// parallel writes a tree of many contents with so many goroutines, each of which takes
// every so-many-eth content from a different end.
func parallel(t *testing.T, jobs int) string {
	t.Helper()
	b, image := builder(t, withSpool(t))
	const files = 600
	data := func(i int) []byte { return pattern(i*37%9000, uint64(i)) }
	contents := make([]erofs.Content, files)
	for i := range contents {
		contents[i] = reserve(t, b, int64(len(data(i))))
	}
	var group sync.WaitGroup
	for job := range jobs {
		group.Go(func() {
			w := b.NewWriter()
			parent, err := b.Dir(erofs.Root, "all of "+fmt.Sprint(job), dir().attr())
			for k := 0; k < files && err == nil; k++ {
				i := k
				if job%2 == 1 {
					i = files - 1 - k
				}
				if i%jobs == job {
					err = w.Copy(contents[i], bytes.NewReader(data(i)))
				}
				if err == nil {
					_, err = b.File(parent, fmt.Sprint(i), regular("").attr(), contents[i])
				}
			}
			if err := errors.Join(err, w.Flush()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for job := jobs; job < 8; job++ {
		parent, err := b.Dir(erofs.Root, "all of "+fmt.Sprint(job), dir().attr())
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range contents {
			if _, err := b.File(parent, fmt.Sprint(i), regular("").attr(), c); err != nil {
				t.Fatal(err)
			}
		}
	}
	finish(t, b)
	return image.Name()
}

func TestParallel(t *testing.T) {
	t.Parallel()
	one, err := os.ReadFile(parallel(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		name := parallel(t, 8)
		eight, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(one, eight) {
			t.Error("eight goroutines give another image than one")
		}
	}
}

func TestNoSpool(t *testing.T) {
	t.Parallel()
	tr := tree{"a": regular("short"), "b": regular(string(pattern(5000, 1)))}
	tr.parents()
	b, image := builder(t, options(tr["."]))
	contents := tr.write(t, b)
	for p, f := range tr {
		if p != "." {
			if _, err := b.File(erofs.Root, p, f.attr(), contents[string(f.data)]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := finish(t, b); got.Contents != 3*erofs.BlockSize {
		t.Errorf("the contents take %d bytes, want three blocks", got.Contents)
	}
	check(t, tr, image.Name())
}

// TestTailOfMany has the tail of a content with many files in a block of its own.
func TestTailOfMany(t *testing.T) {
	t.Parallel()
	b, _ := builder(t, withSpool(t))
	for _, test := range []struct {
		size        int64
		files       int
		head, spool bool
	}{
		{1000, 1, false, true}, {1000, 0, false, true}, {1000, 4, false, true}, {1000, 5, true, false},
		{2048, 2, false, true}, {2048, 3, true, false}, {2049, 1, true, false}, {4096, 1, true, false}, {0, 9, false, false},
	} {
		c, err := b.Reserve(test.size, test.files)
		if err != nil {
			t.Fatal(err)
		}
		off, length, err := b.Extent(c)
		if err != nil || off%erofs.BlockSize != 0 {
			t.Fatalf("extent at %d: %v", off, err)
		}
		if head, spool := length > 0, length < test.size; head != test.head || spool != test.spool {
			t.Errorf("%d bytes of %d files: head %v, tail %v", test.size, test.files, head, spool)
		}
	}
}

// TestExtent puts the blocks of a content in place itself.
func TestExtent(t *testing.T) {
	t.Parallel()
	tr := tree{"f": regular(string(pattern(3*erofs.BlockSize+100, 3)))}
	tr.parents()
	b, image := builder(t, withSpool(t))
	data := tr["f"].data
	c := reserve(t, b, int64(len(data)))
	off, length, err := b.Extent(c)
	if err != nil || length != 3*erofs.BlockSize {
		t.Fatalf("extent of %d bytes: %v", length, err)
	}
	if _, err := image.WriteAt(data[:length], off); err != nil {
		t.Fatal(err)
	}
	w := b.NewWriter()
	if err := errors.Join(w.CopyTail(c, bytes.NewReader(data[length:])), w.Flush()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.File(erofs.Root, "f", tr["f"].attr(), c); err != nil {
		t.Fatal(err)
	}
	finish(t, b)
	check(t, tr, image.Name())
}

func TestCopyErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		size int64
		r    io.Reader
		want error
	}{
		"short head":     {5000, strings.NewReader(strings.Repeat("x", 4000)), erofs.ErrContent},
		"short tail":     {5000, strings.NewReader(strings.Repeat("x", 4999)), erofs.ErrContent},
		"nothing":        {1, strings.NewReader(""), erofs.ErrContent},
		"one too many":   {5000, strings.NewReader(strings.Repeat("x", 5001)), erofs.ErrContent},
		"block too many": {4096, strings.NewReader(strings.Repeat("x", 4097)), erofs.ErrContent},
		"not empty":      {0, strings.NewReader("x"), erofs.ErrContent},
		"reader":         {5000, iotest.ErrReader(broken), broken},
		"reader late":    {3, io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(broken)), broken},
		"exact":          {5000, iotest.OneByteReader(strings.NewReader(strings.Repeat("x", 5000))), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, _ := builder(t, withSpool(t))
			if err := b.NewWriter().Copy(reserve(t, b, test.size), test.r); !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
		})
	}
	b, _ := builder(t, withSpool(t))
	if err := b.NewWriter().Copy(77, strings.NewReader("")); !errors.Is(err, erofs.ErrContent) {
		t.Errorf("unknown content: %v", err)
	}
	if _, err := b.Reserve(-1, 1); !errors.Is(err, erofs.ErrContent) {
		t.Errorf("negative size: %v", err)
	}
	for _, size := range []int64{1 << 44, math.MaxInt64 - 5000, math.MaxInt64} {
		if _, err := b.Reserve(size, 1); !errors.Is(err, erofs.ErrLimit) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	if _, _, err := b.Extent(77); !errors.Is(err, erofs.ErrContent) {
		t.Errorf("extent of an unknown content: %v", err)
	}
}

// TestLarge has a file of more than 4 GiB, of which little is written: the rest reads
// as zeros.
func TestLarge(t *testing.T) {
	t.Parallel()
	const size = 5<<30 + 1234
	b, image := builder(t, withSpool(t))
	c := reserve(t, b, size)
	after := reserve(t, b, 10_000)
	off, length, err := b.Extent(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := image.WriteAt([]byte("here"), off+length-4); err != nil {
		t.Fatal(err)
	}
	w := b.NewWriter()
	if err := errors.Join(
		w.CopyTail(c, strings.NewReader(strings.Repeat("t", 1234))),
		w.Copy(after, bytes.NewReader(pattern(10_000, 1))), w.Flush(),
	); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]erofs.Content{"large": c, "after": after} {
		if _, err := b.File(erofs.Root, name, regular("").attr(), c); err != nil {
			t.Fatal(err)
		}
	}
	finish(t, b)
	point := mount(t, image.Name())
	f, err := os.Open(filepath.Join(point, "large"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.Size() != size {
		t.Fatalf("size %d: %v", st.Size(), err)
	}
	got := make([]byte, 12)
	if _, err := f.ReadAt(got, length-8); err != nil || string(got) != "\x00\x00\x00\x00heretttt" {
		t.Errorf("the border of the tail reads %q: %v", got, err)
	}
	if data, err := os.ReadFile(filepath.Join(point, "after")); err != nil || !bytes.Equal(data, pattern(10_000, 1)) {
		t.Errorf("the file behind it differs: %v", err)
	}
}

// TestFileBacked mounts the file without a loop device, as kernels from 6.12 on can.
func TestFileBacked(t *testing.T) {
	t.Parallel()
	tr := random(99, 200)
	name := tr.build(t, nil)
	mount(t, name) // skips where a loop mount cannot be, either
	point := t.TempDir()
	if err := unix.Mount(name, point, "erofs", unix.MS_RDONLY, ""); errors.Is(err, unix.ENOTBLK) {
		t.Skip("skipped: the kernel mounts EROFS from block devices only")
	} else if err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(point, 0)
	compare(t, "file-backed mount", readKernel(t, point), tr.want())
}
