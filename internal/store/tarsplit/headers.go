package tarsplit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/vbatts/tar-split/archive/tar"
	"github.com/vbatts/tar-split/tar/storage"

	"github.com/nodeseal/nodeseal/bundle/layerrules"
)

// blockSize is that of tar.
const blockSize = 512

// maxHeader bounds what stands between two contents: a header with its long names and
// pax records.
const maxHeader = 64 << 20

// sparseKeys starts the pax records of sparse files. They are renamed to plainKeys, of
// the same length, so that the parser does not look for the map of a sparse file in a
// content that a tar-split has not.
const (
	sparseKeys = "GNU.sparse."
	plainKeys  = "GNU-sparse."
)

// Member is one entry of a tar, as its tar-split tells it, without a content.
type Member struct {
	*tar.Header
	// Entry is the tar-split's; its Size is that of the file, also of a sparse one.
	Entry *storage.Entry
	// Sparse says that the tar has the content in another form than the file.
	Sparse bool
}

// Rules is what the rules for layers need to know of the member.
func (m *Member) Rules() layerrules.Member {
	out := layerrules.Member{
		Name: m.Entry.GetName(), Linkname: m.Linkname, Type: m.Typeflag, Size: m.Entry.Size,
		UID: m.Uid, GID: m.Gid, PAXRecords: m.PAXRecords,
	}
	if m.Sparse {
		out.PAXRecords = map[string]string{sparseKeys + "name": ""}
		for k, v := range m.PAXRecords {
			out.PAXRecords[k] = v
		}
	}
	return out
}

// Members calls f with every member of the tar whose tar-split, plain, is in r, in their
// order. It needs no files. The errors are those of r, of f, or about a tar-split that is
// damaged.
func Members(r io.Reader, f func(*Member) error) error {
	in := NewReader(r)
	var head bytes.Buffer
	for {
		e, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("tar-split: %w", err)
		}
		if e.Type == storage.SegmentType {
			if head.Len()+len(e.Payload) > maxHeader {
				return fmt.Errorf("tar-split: a header of more than %d bytes", maxHeader)
			}
			head.Write(e.Payload)
			continue
		}
		m, err := member(head.Bytes(), e)
		if err == nil {
			err = f(m)
		}
		if err != nil {
			return err
		}
		head.Reset()
	}
}

// member parses what stands before a content: the padding of the one before, and the
// blocks of a header.
func member(head []byte, e *storage.Entry) (*Member, error) {
	blocks := head[len(head)%blockSize:]
	m := &Member{Entry: e, Sparse: bytes.Contains(blocks, []byte(sparseKeys))}
	if m.Sparse {
		blocks = bytes.ReplaceAll(blocks, []byte(sparseKeys), []byte(plainKeys))
	}
	hdr, err := tar.NewReader(bytes.NewReader(blocks)).Next()
	if err != nil {
		return nil, fmt.Errorf("tar-split: header of %q: %w", e.GetName(), err)
	}
	if m.Sparse {
		_, one := hdr.PAXRecords[plainKeys+"major"]
		_, zero := hdr.PAXRecords[plainKeys+"size"]
		m.Sparse = one || zero
	}
	hdr.Name = e.GetName() // also of a sparse file, whose header has another
	m.Header = hdr
	return m, nil
}

// Kept reports why the files of a layer, with its tar-split, plain, in r, do not make its
// tar again: "" where they do. It ends with ctx.
func Kept(ctx context.Context, r io.Reader) (why string, err error) {
	work := layerrules.Begin(ctx)
	defer work.Done()
	var rules layerrules.Checker
	rules.Bound(work, 0)
	var refused *layerrules.Error
	err = Members(r, func(m *Member) error {
		if refused != nil {
			return nil
		}
		// A store of another program may hold what the rules refuse.
		if _, err := rules.Add(m.Rules()); !errors.As(err, &refused) {
			return err
		}
		return nil
	})
	_, why = rules.Kept()
	return why, err
}
