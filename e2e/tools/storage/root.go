//go:build storage

package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"go.podman.io/storage"
	"go.podman.io/storage/pkg/archive"
	"go.podman.io/storage/pkg/idtools"
)

// firstID is the ID outside of a container's root, where it has IDs of its own.
const firstID = 1 << 20

func mapping() storage.IDMappingOptions {
	ids := []idtools.IDMap{{ContainerID: 0, HostID: firstID, Size: 1 << 24}}
	return storage.IDMappingOptions{UIDMap: ids, GIDMap: ids}
}

// root is what a container has as its root.
type root struct {
	// Files is a digest of the names, kinds, modes, owners, times and contents of all files.
	Files string `json:"files"`
	// Copied are the bytes that the container's own layer has before it has run.
	Copied int64 `json:"copied"`
}

// mount makes a container of an image, as CRI-O does, and reads its root.
func mount(lib storage.Store, graph, image string, ids storage.IDMappingOptions) (out root, err error) {
	c, err := lib.CreateContainer("", nil, image, "", "", &storage.ContainerOptions{IDMappingOptions: ids})
	if err != nil {
		return out, err
	}
	defer func() {
		if deleteErr := lib.DeleteContainer(c.ID); err == nil {
			err = deleteErr
		}
	}()
	point, err := lib.Mount(c.ID, "")
	if err != nil {
		return out, err
	}
	first := uint32(0)
	if len(ids.UIDMap) > 0 {
		first = firstID
	}
	if out.Files, err = files(point, first); err != nil {
		return out, err
	}
	err = filepath.WalkDir(filepath.Join(graph, "overlay", c.LayerID, "diff"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			out.Copied += info.Size()
		}
		return err
	})
	if err != nil {
		return out, err
	}
	_, err = lib.Unmount(c.ID, true)
	return out, err
}

// files is the digest of what a directory has. first is the owner that counts as 0.
func files(dir string, first uint32) (string, error) {
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		content := ""
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			content = digestOf(data)
		case info.Mode()&fs.ModeSymlink != 0:
			if content, err = os.Readlink(path); err != nil {
				return err
			}
		}
		when := info.ModTime().UnixNano()
		if path == dir { // its time is the container's
			when = 0
		}
		_, err = fmt.Fprintf(h, "%q %o %d:%d %d %d %q\n", path[len(dir):], st.Mode, st.Uid-first, st.Gid-first, st.Rdev, when, content)
		return err
	})
	return fmt.Sprintf("sha256:%x", h.Sum(nil)), err
}

// rebuild is the digest of a layer's archive, which the library makes of its files.
func rebuild(lib storage.Store, l *storage.Layer) (string, error) {
	plain := archive.Uncompressed
	diff, err := lib.Diff("", l.ID, &storage.DiffOptions{Compression: &plain})
	if err != nil {
		return "", err
	}
	h := sha256.New()
	if _, err := io.Copy(h, diff); err != nil {
		return "", err
	}
	return fmt.Sprintf("sha256:%x", h.Sum(nil)), diff.Close()
}

func digestOf(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }
