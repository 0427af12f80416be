package imagefile

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/nodeseal/nodeseal/internal/safefile"
)

const (
	// maxMembers bounds the members of an archive, maxName how long the name of one may be
	// that is looked at: no file of an image has a longer one.
	maxMembers = 1 << 15
	maxName    = 256
	// maxStored bounds the blobs and tags in an archive of a registry, maxHeaders all that it has besides.
	maxStored  = 1 << 17
	maxHeaders = 1 << 22
)

// files are the files of a layout, or of an archive.
type files interface {
	// open opens a regular file by its slash-separated name. The error wraps errAbsent if it
	// is not there.
	open(name string) (io.ReadCloser, error)
	has(name string) bool
}

// readFile returns the content of a file of at most limit bytes.
func readFile(f files, name string, limit int64) ([]byte, error) {
	r, err := f.open(name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if int64(len(data)) > limit {
		return nil, damaged("%s has more than %d bytes", name, limit)
	}
	return data, nil
}

// dirFiles are those of a directory.
type dirFiles struct{ root *safefile.Root }

func openDir(dir string) (dirFiles, error) {
	root, err := safefile.OpenRoot(dir)
	return dirFiles{root}, err
}

func (d dirFiles) open(name string) (io.ReadCloser, error) {
	f, err := d.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", errAbsent, name)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (d dirFiles) has(name string) bool {
	_, err := d.root.Lstat(name)
	return err == nil
}

// tarFiles are those of a tar, by where they are in it.
type tarFiles struct {
	file    *os.File
	members map[string]member
	storage bool // of a registry
	stored  int  // of its members
}

// member is a regular file, or what another member is a link to.
type member struct {
	offset, size int64
	link         string
}

// openTar finds the members of a tar that is not compressed. Of two with one name the first
// counts.
func openTar(ctx context.Context, name string) (*tarFiles, error) {
	f, err := safefile.Open(name)
	if err != nil {
		return nil, err
	}
	t := &tarFiles{file: f, members: make(map[string]member)}
	if err := t.index(ctx); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return t, nil
}

func (t *tarFiles) index(ctx context.Context) error {
	info, err := t.file.Stat()
	if err != nil {
		return err
	}
	r := tar.NewReader(t.file) // which seeks over contents
	for n := 0; ; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return damaged("reading its members: %w", err)
		}
		if is, read := isStorage(path.Clean(h.Name)); is {
			t.storage = true
			if t.stored++; t.stored > maxHeaders || len(t.members) > maxStored {
				return damaged("it has more than %d members, or %d blobs and tags", maxHeaders, maxStored)
			}
			if !read {
				continue
			}
		} else if n++; n > maxMembers {
			return damaged("it has more than %d members", maxMembers)
		}
		at, err := t.file.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		if err := t.add(h, at, info.Size()); err != nil {
			return err
		}
	}
}

// add adds the member whose content is at an offset of a file of end bytes.
func (t *tarFiles) add(h *tar.Header, at, end int64) error {
	if len(h.Name) > maxName {
		return nil
	}
	name := path.Clean(h.Name)
	if _, ok := t.members[name]; ok {
		return nil
	}
	switch {
	case isSparse(h):
		return damaged("%s is stored as a sparse file: write the archive without", name)
	case h.Typeflag == tar.TypeReg && (h.Size > end || at > end-h.Size):
		return damaged("it is cut off in %s", name)
	case h.Typeflag == tar.TypeReg:
		t.members[name] = member{offset: at, size: h.Size}
	case h.Typeflag == tar.TypeSymlink && len(h.Linkname) <= maxName:
		// docker save writes a layer that comes twice as a link to the first one.
		t.members[name] = member{link: path.Join(path.Dir(name), h.Linkname)} //nolint:gosec // a key of members, never a path of this machine
	case h.Typeflag == tar.TypeLink && len(h.Linkname) <= maxName:
		t.members[name] = member{link: path.Clean(h.Linkname)}
	}
	return nil
}

func isSparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return h.Typeflag == tar.TypeGNUSparse
}

// find returns a regular member. A link is a name in this archive, and nothing else; the
// next one is not followed.
func (t *tarFiles) find(name string) (member, bool) {
	m, ok := t.members[path.Clean(name)]
	if ok && m.link != "" {
		m, ok = t.members[m.link]
	}
	return m, ok && m.link == ""
}

func (t *tarFiles) open(name string) (io.ReadCloser, error) {
	m, ok := t.find(name)
	if !ok {
		return nil, fmt.Errorf("%w: %s", errAbsent, name)
	}
	return io.NopCloser(io.NewSectionReader(t.file, m.offset, m.size)), nil
}

func (t *tarFiles) has(name string) bool {
	_, ok := t.find(name)
	return ok
}
