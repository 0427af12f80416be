// Package storetest makes layers, images and sources for tests of stores.
package storetest

import (
	"archive/tar"
	"bytes"
	"testing"
	"time"
)

// Entry is one entry of a layer.
type Entry struct {
	tar.Header
	Content string
}

// Epoch is the modification time of entries that do not say.
var Epoch = time.Unix(1_700_000_000, 123_456_789) //nolint:gochecknoglobals // a constant

// File is a regular file.
func File(name, content string) Entry {
	return Entry{Header: tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}, Content: content}
}

// Dir is a directory.
func Dir(name string) Entry {
	return Entry{Header: tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}}
}

// Symlink is a symbolic link.
func Symlink(name, target string) Entry {
	return Entry{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}}
}

// Link is a hard link.
func Link(name, target string) Entry {
	return Entry{Header: tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644}}
}

// Device is a character device.
func Device(name string, major, minor int64) Entry {
	return Entry{Header: tar.Header{Typeflag: tar.TypeChar, Name: name, Mode: 0o620, Devmajor: major, Devminor: minor}}
}

// With changes the header of e.
func (e Entry) With(change func(*tar.Header)) Entry {
	change(&e.Header)
	return e
}

// Owner gives e an owner.
func (e Entry) Owner(uid, gid int) Entry {
	return e.With(func(h *tar.Header) { h.Uid, h.Gid = uid, gid })
}

// Perm gives e a mode.
func (e Entry) Perm(mode int64) Entry { return e.With(func(h *tar.Header) { h.Mode = mode }) }

// Xattr gives e an extended attribute.
func (e Entry) Xattr(name, value string) Entry {
	records := map[string]string{"SCHILY.xattr." + name: value}
	for k, v := range e.PAXRecords {
		records[k] = v
	}
	return e.With(func(h *tar.Header) { h.PAXRecords = records })
}

// Tar returns the plain tar of entries.
func Tar(t testing.TB, entries ...Entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		h := e.Header
		h.Size = int64(len(e.Content))
		if h.ModTime.IsZero() {
			h.ModTime = Epoch
		}
		h.Format = tar.FormatPAX
		if err := w.WriteHeader(&h); err != nil {
			t.Fatalf("%s: %v", e.Name, err)
		}
		if _, err := w.Write([]byte(e.Content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
