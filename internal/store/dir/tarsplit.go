package dir

import (
	"bufio"
	"errors"
	"fmt"
	"os"

	"github.com/klauspost/compress/gzip"
)

// tarSplit writes compressed tar-splits, one after another. Their bytes depend
// on nothing but what is written.
type tarSplit struct {
	gzip *gzip.Writer
	buf  *bufio.Writer
	file *os.File
}

// create starts a new file; what is written to gzip goes there until close.
func (t *tarSplit) create(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("creating tar-split: %w", err)
	}
	t.file = f
	if t.gzip != nil {
		t.buf.Reset(f)
		t.gzip.Reset(t.buf)
		return nil
	}
	t.buf = bufio.NewWriterSize(f, 64<<10)
	if t.gzip, err = gzip.NewWriterLevel(t.buf, gzip.BestSpeed); err != nil {
		return errors.Join(fmt.Errorf("creating tar-split: %w", err), f.Close())
	}
	return nil
}

func (t *tarSplit) close() error {
	if err := errors.Join(t.gzip.Close(), t.buf.Flush(), t.file.Close()); err != nil {
		return fmt.Errorf("writing tar-split: %w", err)
	}
	return nil
}
