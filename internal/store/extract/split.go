package extract

import (
	"errors"
	"fmt"
	"io"

	"github.com/nodeseal/nodeseal/internal/store/tarsplit"
	"github.com/vbatts/tar-split/archive/tar"
	"github.com/vbatts/tar-split/tar/storage"
)

// splitter writes a tar-split: all of a tar but the contents of its files, as
// JSON lines, from which with the files the tar can be made again.
type splitter struct {
	w *tarsplit.Writer
}

func newSplitter(w io.Writer) *splitter { return &splitter{w: tarsplit.NewWriter(w)} }

// segment adds raw bytes of the tar.
func (s *splitter) segment(raw []byte) error {
	if len(raw) == 0 {
		return nil
	}
	if _, err := s.w.AddEntry(storage.Entry{Type: storage.SegmentType, Payload: raw}); err != nil {
		return fmt.Errorf("writing tar-split: %w", err)
	}
	return nil
}

// file adds an entry of the tar.
func (s *splitter) file(hdr *tar.Header, checksum []byte) error {
	e := storage.Entry{Type: storage.FileType, Size: hdr.Size, Payload: checksum}
	e.SetName(hdr.Name)
	if _, err := s.w.AddEntry(e); err != nil {
		return fmt.Errorf("writing tar-split: %w", err)
	}
	return nil
}

// rest adds what follows the last entry, to the end of the stream. It reads
// through buf.
func (s *splitter) rest(raw []byte, stream io.Reader, buf []byte) error {
	if err := s.segment(raw); err != nil {
		return err
	}
	for {
		n, err := fill(stream, buf)
		if err := s.segment(buf[:n]); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
