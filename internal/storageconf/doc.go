// Package storageconf tells what podman and CRI-O of a node take for their storage: which
// files each of the two reads, in which order, and what these say together.
//
// A program with containers/storage, or with go.podman.io/storage before 1.63, reads the
// first that exists of /etc/containers/storage.conf and /usr/share/containers/storage.conf,
// and refuses one without runroot and graphroot. Later ones read root's own file before
// these two, then the drop-ins of storage.conf.d and storage.rootful.conf.d beside each, by
// name, and have defaults for what no file sets. CRI-O reads crio.conf and crio.conf.d over
// that. Which library a program has is in the build information of its file.
//
// Flags of the two programs, and environment variables of their units, are not looked at.
package storageconf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/tomlbound"
)

// Paths on a node.
const (
	// Main is the administrator's file.
	Main = "/etc/containers/storage.conf"
	// Vendor is the distribution's, which is read if there is no Main.
	Vendor = "/usr/share/containers/storage.conf"

	rootsOwn = "/root/.config/containers/storage.conf"
)

// The two programs.
const (
	Podman = "podman"
	CRIO   = "CRI-O"
)

// Options say where to look.
type Options struct {
	// Path returns where a path of the node is on this machine; nil if it is the same.
	Path func(string) string
	// Named is the one file to read in the place of all that are searched for, "" for these.
	Named string
}

func (o Options) path(p string) string {
	if o.Path == nil {
		return p
	}
	return o.Path(p)
}

// View is what one program takes, or both together if they take the same.
type View struct {
	Program string
	// Files are those that it reads, in this order, on this machine; none if there is none,
	// and the defaults hold.
	Files []string
	// StoresFrom is the file that decides the additional stores, "" if none does.
	StoresFrom string
	// Storage has paths as the node sees them.
	Storage nodeconfig.Storage
	// Err is why the program does not start, and ErrAt the file that it is about, "" if none.
	Err   error
	ErrAt string
}

// Main is the file that was read first, "" if there was none.
func (v *View) Main() string {
	if len(v.Files) == 0 {
		return ""
	}
	return v.Files[0]
}

// First returns the path and the text of the file that podman and CRI-O start from,
// nothing if there is none.
func First(o Options) (path string, text []byte, err error) {
	for _, p := range []string{o.path(Main), o.path(Vendor)} {
		text, err = read(p)
		if err == nil {
			return p, text, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return p, nil, err
		}
	}
	return "", nil, nil
}

// read reads a file of the length that is decoded.
func read(path string) (data []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading storage configuration: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err = io.ReadAll(io.LimitReader(f, tomlbound.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading storage configuration: %w", err)
	}
	return data, nil // tomlbound refuses what is longer
}
