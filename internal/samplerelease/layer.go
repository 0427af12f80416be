package samplerelease

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// epoch is the time of every file and image: nothing comes from a clock.
const epoch = 1_700_000_000

// tree is the entries of one layer, in the order of its tar.
type tree []entry

type entry struct {
	header  tar.Header
	content []byte
}

func (t *tree) add(h tar.Header, content []byte) {
	h.Size = int64(len(content))
	if h.ModTime.IsZero() {
		h.ModTime = time.Unix(epoch+int64(len(*t)), 0) // neighbours differ
	}
	*t = append(*t, entry{h, content})
}

func (t *tree) dir(name string, mode int64) {
	t.add(tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode}, nil)
}

func (t *tree) file(name string, mode int64, content []byte) {
	t.add(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode}, content)
}

func (t *tree) owned(name string, uid, gid int, content []byte) {
	t.add(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o640, Uid: uid, Gid: gid}, content)
}

func (t *tree) symlink(name, target string) {
	t.add(tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}, nil)
}

func (t *tree) hardlink(name, target string) {
	t.add(tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644}, nil)
}

// whiteout removes name of the layers below.
func (t *tree) whiteout(dir, name string) {
	t.file(dir+"/.wh."+name, 0o644, nil)
}

// opaque hides what the layers below have in dir.
func (t *tree) opaque(dir string) {
	t.file(dir+"/.wh..wh..opq", 0o644, nil)
}

func (t *tree) xattrs(name string, mode int64, content []byte, attrs map[string]string) {
	records := make(map[string]string, len(attrs))
	for key, value := range attrs {
		records["SCHILY.xattr."+key] = value
	}
	t.add(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, PAXRecords: records}, content)
}

func (t *tree) device(name string, typeflag byte, major, minor int64) {
	t.add(tar.Header{Typeflag: typeflag, Name: name, Mode: 0o666, Devmajor: major, Devminor: minor}, nil)
}

// tar writes t as a plain tar. With singleUID everything is root's and device
// nodes are left out.
func (t *tree) tar(singleUID bool) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range *t {
		h := e.header
		if singleUID {
			if h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock {
				continue
			}
			h.Uid, h.Gid = 0, 0
		}
		if err := w.WriteHeader(&h); err != nil {
			return nil, fmt.Errorf("writing tar header of %s: %w", h.Name, err)
		}
		if _, err := w.Write(e.content); err != nil {
			return nil, fmt.Errorf("writing tar content of %s: %w", h.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("ending tar: %w", err)
	}
	return buf.Bytes(), nil
}

// compression is how a manifest has its layers.
type compression int

const (
	gzipped compression = iota
	zstandard
	plain
)

// compress gives the bytes that a registry holds for a plain tar.
func (c compression) compress(data []byte) ([]byte, error) {
	switch c {
	case zstandard:
		// One goroutine: the output is then the same on every machine.
		enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		return enc.EncodeAll(data, nil), nil
	case plain:
		return data, nil
	case gzipped:
	}
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(data); err != nil {
		return nil, fmt.Errorf("gzip: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("gzip: %w", err)
	}
	return buf.Bytes(), nil
}

// bytesOf makes up size bytes for a file: the same for the same name, different
// for others, and compressible to about half.
func bytesOf(name string, size int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < size; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", name, i))
		b.WriteString(hex.EncodeToString(sum[:]) + "\n")
	}
	return b.Bytes()[:size]
}

func lines(s ...string) []byte {
	return []byte(strings.Join(s, "\n") + "\n")
}
