package image

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// clone is a range of a donor's image that becomes one of the new image.
type clone struct {
	donor    *donor
	from, to int64
	length   int64
}

// take is what a job has taken upon itself, until it is proven.
type take struct {
	numbers []int   // contents that it writes
	clones  []clone // some of them, from a donor
}

// add adds a range, to the one before it where both go on.
func (t *take) add(c clone) {
	if n := len(t.clones); n > 0 {
		last := &t.clones[n-1]
		if last.donor == c.donor && last.from+last.length == c.from && last.to+last.length == c.to {
			last.length += c.length
			return
		}
	}
	t.clones = append(t.clones, c)
}

// Join implements build.Writer: it gives the image what the jobs have taken: the same
// blocks on the disk where the file system can, else copies.
func (im *importer) Join(ctx context.Context) error {
	var all []clone
	for _, j := range im.work {
		all = append(all, j.take.clones...)
		j.take = take{}
	}
	for _, o := range im.originals {
		all = append(all, o.clones...)
	}
	slices.SortFunc(all, func(a, b clone) int { return cmp.Compare(a.to, b.to) })
	var merged take
	for _, c := range all {
		merged.add(c)
		im.facts.Reused += c.length
	}
	shared := true
	for _, c := range merged.clones {
		if err := ctx.Err(); err != nil {
			return err
		}
		if shared {
			err := cloneRange(im.out.image, c)
			if err == nil {
				im.cloned = append(im.cloned, c)
				continue
			}
			if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EIO) {
				return fmt.Errorf("sharing blocks with %s: %w", c.donor.path, err)
			}
			shared = false // it is not one file system, or not one that can
		}
		_, err := io.Copy(io.NewOffsetWriter(im.out.image, c.to), io.NewSectionReader(c.donor.file, c.from, c.length))
		if err != nil {
			return fmt.Errorf("copying from %s: %w", c.donor.path, err)
		}
	}
	return nil
}

// clonedReader reads an image from its beginning: what it shares with others from
// those. They have just been read, and a page of one file is none of another, though
// the block is.
type clonedReader struct {
	image  io.ReaderAt
	cloned []clone // in the order of the image
	pos    int64
	size   int64
}

// Read implements io.Reader.
func (r *clonedReader) Read(b []byte) (n int, err error) {
	end := r.size
	if len(r.cloned) > 0 {
		if c := r.cloned[0]; r.pos >= c.to {
			left := c.to + c.length - r.pos
			n, err = c.donor.file.ReadAt(b[:min(int64(len(b)), left)], c.from+r.pos-c.to)
			if r.pos += int64(n); int64(n) == left {
				r.cloned, err = r.cloned[1:], nil
			}
			return n, err
		}
		end = r.cloned[0].to
	}
	n, err = r.image.ReadAt(b[:min(int64(len(b)), end-r.pos)], r.pos)
	if r.pos += int64(n); r.pos < r.size && n > 0 {
		err = nil
	}
	if r.pos == r.size && err == nil {
		err = io.EOF
	}
	return n, err
}

func cloneRange(to *os.File, c clone) error {
	return unix.IoctlFileCloneRange(int(to.Fd()), &unix.FileCloneRange{
		Src_fd: int64(c.donor.file.Fd()), Src_offset: uint64(c.from), Src_length: uint64(c.length), Dest_offset: uint64(c.to),
	})
}
