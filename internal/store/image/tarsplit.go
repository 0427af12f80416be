package image

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/vbatts/tar-split/tar/storage"
)

// maxLine bounds a line of a tar-split: a segment is at most what a tar has between two
// contents.
const maxLine = 64 << 20

// tarSplit reads the entries of a tar-split, JSON lines in the form that package
// storage of tar-split gives them. Decoded by encoding/json they would take longer
// than all else that is done with a layer that is taken.
type tarSplit struct {
	r       *bufio.Reader
	line    []byte // of the last entry
	payload []byte
}

func newTarSplit(r io.Reader) *tarSplit { return &tarSplit{r: bufio.NewReaderSize(r, 64<<10)} }

// next returns the next entry: bytes of the tar, or the length of a content. They are
// good until the next call. The error is io.EOF behind the last.
func (s *tarSplit) next() (segment []byte, size int64, err error) {
	if err := s.readLine(); err != nil {
		return nil, 0, err
	}
	if rest, ok := bytes.CutPrefix(s.line, []byte(`{"type":2,"payload":"`)); ok {
		encoded, _, _ := bytes.Cut(rest, []byte{'"'})
		s.payload, err = base64.StdEncoding.AppendDecode(s.payload[:0], encoded)
		return s.payload, 0, err //nolint:wrapcheck // says all
	}
	if !bytes.HasPrefix(s.line, []byte(`{"type":1,`)) {
		return nil, 0, fmt.Errorf("%.40q is no entry of a tar-split", s.line)
	}
	// In a name the quotes would be escaped.
	if _, rest, ok := bytes.Cut(s.line, []byte(`,"size":`)); ok {
		digits, _, _ := bytes.Cut(rest, []byte{','})
		var n uint64
		n, err = strconv.ParseUint(string(digits), 10, 63)
		size = int64(n)
	}
	return nil, size, err //nolint:wrapcheck // says all
}

// name returns the name of the content that next has returned.
func (s *tarSplit) name() (string, error) {
	var e storage.Entry
	err := json.Unmarshal(s.line, &e)
	return e.GetName(), err //nolint:wrapcheck // says all
}

func (s *tarSplit) readLine() error {
	s.line = s.line[:0]
	for {
		part, err := s.r.ReadSlice('\n')
		s.line = append(s.line, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull) && len(s.line) <= maxLine:
		case errors.Is(err, io.EOF) && len(s.line) > 0:
			return io.ErrUnexpectedEOF
		default:
			return err //nolint:wrapcheck // the caller wraps it
		}
	}
}
