package whatis

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// maxMembers bounds how many members of a tar are looked at: docker save writes
// manifest.json at the end.
const maxMembers = 10000

// maxHead bounds how much of a compressed tar is unpacked, in bytes: a short file can unpack to
// headers without end, before which no member comes.
const maxHead = 4 << 20

// maxWindow bounds the memory for a zstd file.
const maxWindow = 8 << 20

// ofFile says what the file at path is, "" if it is not known.
func ofFile(path string) Kind {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	first := make([]byte, headLen)
	n, err := io.ReadFull(f, first)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return ""
	}
	is := ofHead(first[:n])
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return is
	}
	switch is {
	case Tar:
		return ofTar(f, maxMembers)
	case Gzip:
		if z, err := gzip.NewReader(f); err == nil {
			if _, err := tar.NewReader(beginning(z)).Next(); err == nil {
				return GzipTar
			}
		}
	case Zstd:
		z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return is
		}
		defer z.Close()
		// A bundle begins with its inventory.
		if ofTar(beginning(z), 1) == OCIArchive {
			return ZstdOCI
		}
	}
	return is
}

// beginning is as much of what is unpacked as is looked at.
func beginning(r io.Reader) io.Reader { return io.LimitReader(r, maxHead) }

// ofTar says what a tar is by the names of its first members.
func ofTar(r io.Reader, members int) Kind {
	t := tar.NewReader(r)
	for range members {
		h, err := t.Next()
		if err != nil {
			break
		}
		switch strings.TrimPrefix(h.Name, "./") {
		case "oci-layout", "index.json", "blobs/":
			return OCIArchive
		case "manifest.json", "repositories":
			return DockerArchive
		}
	}
	return Tar
}

// ofDir says what the directory at path is.
func ofDir(path string) Kind {
	has := func(names ...string) bool {
		for _, name := range names {
			if _, err := os.Lstat(filepath.Join(path, name)); err != nil {
				return false
			}
		}
		return true
	}
	switch {
	case has("overlay-layers"), has("overlay-images"), has("overlay"), has("nodeseal"):
		return Store
	case has("oci-layout"), has("index.json", "blobs"):
		return Layout
	case has("manifest.json", "version"):
		return SkopeoDir
	case has("a", "b") && (has("state.json") || has(".work")):
		return Slots
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return ""
	}
	for _, e := range entries {
		if strings.Contains(e.Name(), ".tar.zst") {
			return Stick
		}
	}
	if len(entries) == 0 {
		return EmptyDir
	}
	return Dir
}
