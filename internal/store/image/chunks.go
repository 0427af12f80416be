package image

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
)

// chunkSize is how much of a stream stands together in a chunkFile.
const chunkSize = 64 << 10

// roomEvery is after how many bytes a chunkFile asks for room: how long tables and tar-splits
// get is not known before they are made.
const roomEvery = 64 << 20

// chunkFile keeps many streams of unknown lengths, written at the same time, in one
// file.
type chunkFile struct {
	f    *os.File
	room func(size int64) error // called with what the file will grow by
	end  atomic.Int64
}

// chunks is one stream of a chunkFile. It is for one goroutine at a time.
type chunks struct {
	file *chunkFile
	at   []int64 // where its chunks are; all but the last one are full
	size int64
	buf  []byte
}

func (c *chunkFile) create(buf []byte) *chunks { return &chunks{file: c, buf: buf[:0]} }

// Write implements io.Writer.
func (c *chunks) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		part := min(len(b), chunkSize-len(c.buf))
		c.buf = append(c.buf, b[:part]...)
		b = b[part:]
		if len(c.buf) == chunkSize {
			if err := c.flush(); err != nil {
				return 0, err
			}
		}
	}
	c.size += int64(n)
	return n, nil
}

// flush writes what is still held. Nothing is written after it but at its size.
func (c *chunks) flush() error {
	if len(c.buf) == 0 {
		return nil
	}
	at := c.file.end.Add(chunkSize) - chunkSize
	if at%roomEvery == 0 && at > 0 {
		if err := c.file.room(roomEvery); err != nil {
			return err
		}
	}
	if _, err := c.file.f.WriteAt(c.buf, at); err != nil {
		return fmt.Errorf("writing beside the image: %w", err)
	}
	c.at = append(c.at, at)
	c.buf = c.buf[:0]
	return nil
}

// close ends the writing and gives the buffer back.
func (c *chunks) close() error {
	err := c.flush()
	c.buf = nil
	return err
}

// reader reads the stream from its beginning. There may be many readers.
func (c *chunks) reader() io.Reader {
	parts := make([]io.Reader, len(c.at))
	left := c.size
	for i, at := range c.at {
		n := min(left, chunkSize)
		parts[i] = io.NewSectionReader(c.file.f, at, n)
		left -= n
	}
	return io.MultiReader(parts...)
}
