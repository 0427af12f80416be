package imagefile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/pull"
	"github.com/nodeseal/nodeseal/internal/visible"
	"github.com/nodeseal/nodeseal/internal/whatis"
)

// The transports that may stand before a path, as skopeo and podman have them.
const (
	layoutTransport = "oci:"
	ociTransport    = "oci-archive:"
	dockerTransport = "docker-archive:"
)

var (
	// ErrDamaged is wrapped if a file contradicts itself, lacks a blob, or has one of another digest.
	ErrDamaged = errors.New("the file with the images is damaged")
	// ErrName is wrapped by the error about a name that cannot be given to what is in a file.
	ErrName = errors.New("this name cannot be given to it")
	// ErrTransport is wrapped by the error about an archive that is of another kind than was said.
	ErrTransport = errors.New("it is an archive of the other kind")
	// errAbsent says that a file does not have a blob.
	errAbsent = errors.New("blob is missing")
)

// UnnamedError says that an image has no name that a node could find it under.
type UnnamedError struct {
	Path   string
	Digest digest.Digest
	// Called is what the file calls it, as "latest"; "" for nothing.
	Called string
	// Alone says that the file has no other image.
	Alone bool
}

// Error says what to do, too: a list of problems has no hints.
func (e *UnnamedError) Error() string {
	called := "no name"
	if e.Called != "" {
		called = fmt.Sprintf("the name %q, which has no registry", e.Called)
	}
	next := "give it one where it is made (podman tag, skopeo copy)"
	if e.Alone {
		next = "name it: --from-layout REGISTRY/REPOSITORY:TAG=" + visible.ShellWord(e.Path)
	}
	return fmt.Sprintf("%s: image %s has %s, so no node would find it: %s", e.Path, e.Digest, called, next)
}

// File is an opened layout or archive. It is safe for concurrent use. It need not be closed:
// its one descriptor goes with it.
type File struct {
	// Path is the directory's or the archive's.
	Path string

	content content
	images  []image

	mu       sync.Mutex
	rejected map[digest.Digest]bool
}

// image is what a file names: an image, or a list of them.
type image struct {
	digest digest.Digest
	names  []imagelist.Entry // by a reference each
	called string            // what it is called if there is no reference
}

// content is what a File is made of.
type content interface {
	// manifest returns a manifest of the file, or a list, with its digest verified. The error
	// wraps errAbsent if there is none.
	manifest(d digest.Digest) (pull.Manifest, error)
	// blob opens a configuration or a layer, not verified. The error wraps errAbsent.
	blob(ctx context.Context, d digest.Digest) (io.ReadCloser, error)
	// attached are the manifests that belong to others, with their subjects.
	attached() []attached
}

// attached is a manifest that belongs to an image.
type attached struct {
	v1.Descriptor
	subject digest.Digest // of OCI referrers
	tag     string        // under which registries have it: sha256-HEX.sig
}

// Open opens what spec says: [REFERENCE=][oci:|oci-archive:|docker-archive:]PATH. Without a
// transport a directory is a layout, or what a registry or oc-mirror stored, and of a file its members decide. REFERENCE is the name
// of the only image in it. The error is a *whatis.Error for something else, or wraps
// ErrDamaged, ErrName, ErrTransport, safefile.ErrNotRegular or fs.ErrNotExist.
func Open(ctx context.Context, spec string) (*File, error) {
	name, spec := cutName(spec)
	transport, path := "", spec
	for _, t := range []string{layoutTransport, ociTransport, dockerTransport} {
		if rest, ok := strings.CutPrefix(spec, t); ok {
			transport, path = t, rest
		}
	}
	f := &File{Path: path, rejected: make(map[digest.Digest]bool)}
	if transport == "" {
		if s, err := openStorage(ctx, path); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		} else if s != nil && name == "" {
			f.content = s
			return f, nil
		}
	}
	if err := whatis.NoImages(path); err != nil {
		return nil, err
	}
	if err := f.open(ctx, transport); errors.As(err, new(*whatis.Error)) {
		return nil, err
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if name != "" {
		if err := f.rename(name); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return f, nil
}

// cutName takes the reference off a spec that begins with one.
func cutName(spec string) (name, rest string) {
	if _, err := os.Lstat(spec); err == nil {
		return "", spec // a path with a sign in it
	}
	if name, rest, ok := strings.Cut(spec, "="); ok {
		return name, rest
	}
	return "", spec
}

func (f *File) open(ctx context.Context, transport string) (err error) {
	if info, err := os.Stat(f.Path); err != nil {
		return err
	} else if info.IsDir() {
		if transport == ociTransport || transport == dockerTransport {
			return fmt.Errorf("%w: it is a directory: name it as %s%s", ErrName, layoutTransport, f.Path)
		}
		dir, err := openDir(f.Path)
		if err != nil {
			return err
		}
		return f.openOCI(dir)
	}
	tar, err := openTar(ctx, f.Path)
	if err != nil {
		return err
	}
	if transport == "" && tar.storage {
		f.content = &storage{tar}
		return nil
	}
	if !tar.has(v1.ImageIndexFile) && !tar.has(dockerIndex) {
		return &whatis.Error{Path: f.Path, Kind: whatis.Tar, Want: whatis.Images}
	}
	switch {
	case transport == dockerTransport && !tar.has(dockerIndex):
		return fmt.Errorf("%w: %s%s", ErrTransport, ociTransport, f.Path)
	case transport == ociTransport && !tar.has(v1.ImageIndexFile):
		return fmt.Errorf("%w: %s%s", ErrTransport, dockerTransport, f.Path)
	}
	if transport == dockerTransport || transport == "" && !tar.has(v1.ImageIndexFile) {
		f.content, f.images, err = openDocker(ctx, tar)
		return err
	}
	return f.openOCI(tar)
}

func (f *File) openOCI(files files) (err error) {
	f.content, f.images, err = openOCI(files)
	return err
}

// rename gives the only image a name.
func (f *File) rename(name string) error {
	e, err := imagelist.NewEntry(name)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrName, err)
	}
	switch {
	case len(f.images) != 1:
		return fmt.Errorf("%w: there are %d images here, and a name is for one", ErrName, len(f.images))
	case e.Digest != "" && e.Digest != f.images[0].digest:
		return fmt.Errorf("%w: %s: the image is %s", ErrName, name, f.images[0].digest)
	}
	f.images[0].names = []imagelist.Entry{e}
	return nil
}

// NamesNone reports whether the file is what a registry or oc-mirror stored: it has images, but does not say of which
// registries they are.
func (f *File) NamesNone() bool {
	_, is := f.content.(*storage)
	return is
}

// List returns every image by the references that name it. Images without one are
// *UnnamedErrors among the problems; the list has the rest.
func (f *File) List() (l *imagelist.List, problems []error) {
	l = new(imagelist.List)
	for _, img := range f.images {
		if len(img.names) == 0 {
			problems = append(problems, &UnnamedError{f.Path, img.digest, img.called, len(f.images) == 1})
		}
		for _, n := range img.names {
			if n.Digest != "" && n.Digest != img.digest {
				problems = append(problems, fmt.Errorf("%s: image %s is called %s, which is another digest", f.Path, img.digest, n.Ref))
				continue
			}
			name, _ := imagelist.Split(n.Ref)
			e := imagelist.Entry{
				Ref: imagelist.Repository(name) + "@" + img.digest.String(), Digest: img.digest,
				Names: n.Names, From: []bundle.Origin{{Source: "file", Name: f.Path}},
			}
			if n.Digest == "" {
				e.Names = []string{n.Ref}
			}
			l.Put(e)
		}
	}
	return l, problems
}

// digestOf returns the digest of what ref names: its own, or that of an image of the file
// that has this name; "" if there is none.
func (f *File) digestOf(ref string) digest.Digest {
	if _, d := imagelist.Split(ref); d != "" {
		return d
	}
	if s, ok := f.content.(*storage); ok {
		return s.tagged(ref)
	}
	for _, img := range f.images {
		for _, n := range img.names {
			if n.Ref == ref || slices.Contains(n.Names, ref) {
				return img.digest
			}
		}
	}
	return ""
}

// damaged is an error about the file.
func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrDamaged, fmt.Errorf(format, args...))
}
