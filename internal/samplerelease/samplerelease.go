// Package samplerelease makes up a small release in the shape of OpenShift's,
// for the demo and for tests: images in both manifest formats and all
// compressions, with layers shared between them and everything in their files
// that a store must get right. It is the same byte for byte each time.
package samplerelease

import (
	"cmp"
	"fmt"
	"os"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Version is the version of the made-up release.
const Version = "4.99.0"

// Registry is the registry's name in references, Prefix what all of them begin
// with. Neither is asked for anything: see RegistriesConf.
const (
	Registry = "quay.io"
	Prefix   = Registry + "/nodeseal-demo"
)

// The names of images that have a part of their own in the release.
const (
	ReleaseImage = "release" // the release image: its last layer lists the others
	WriterImage  = "writer"  // starts Options.Writer
)

// WriterDir is a directory of the writer image with the files that a container
// is to change: Overwrite, Rename and Remove are regular files, Chmod is a
// directory with one file in it.
const (
	WriterDir = "/srv/app"
	Overwrite = "overwrite"
	Rename    = "rename"
	Remove    = "remove"
	Chmod     = "chmod"
)

// Program is what the writer image starts.
type Program struct {
	// Path is a static executable on this machine, copied into the image.
	Path string
	// Args are its arguments, without its own name.
	Args []string
}

// Options are what can be chosen about the release. The zero value gives all
// images but the operating system's and the writer.
type Options struct {
	// OS is the operating system's image.
	OS OS
	// Version is what the release image says of itself, "" is the constant Version.
	Version string
	// Writer is the program of the writer image; nil leaves that image out.
	Writer *Program
	// SingleUID leaves out owners other than root and device nodes: a user
	// namespace with one id cannot make them.
	SingleUID bool
}

// Image is one image of a release.
type Image struct {
	// Name is the image's tag in the release, and in its repository.
	Name string
	// Ref is the reference as a cluster asks for it, by digest: of the list
	// where the image has one.
	Ref string
	// Index is the list's digest, empty where the image has none.
	Index digest.Digest
	// Manifest, Config and DiffIDs are those of linux/amd64.
	Manifest  digest.Digest
	MediaType string
	Config    digest.Digest
	DiffIDs   []digest.Digest
}

// Release is a built release, kept in memory. Its methods may be called at the
// same time; who calls changes nothing in it.
type Release struct {
	// Images are all of its images, the release image and the writer last.
	Images []Image

	blobs     map[digest.Digest][]byte
	manifests []manifest // in an order in which a registry takes them
}

// Build makes the release. It fails only where Options.Writer cannot be read.
func Build(opts Options) (*Release, error) {
	b := newBuilder(opts.SingleUID)
	specs := payload()
	if opts.OS.Layers > 0 {
		specs = append(specs, osSpec(opts.OS))
	}
	for _, spec := range specs {
		if err := b.add(spec); err != nil {
			return nil, fmt.Errorf("building sample image %s: %w", spec.name, err)
		}
	}
	version := cmp.Or(opts.Version, Version)
	references, err := imageReferences(b.release.Images, version)
	if err != nil {
		return nil, err
	}
	if err := b.add(releaseSpec(references, version)); err != nil {
		return nil, fmt.Errorf("building sample image %s: %w", ReleaseImage, err)
	}
	if opts.Writer != nil {
		program, err := os.ReadFile(opts.Writer.Path)
		if err != nil {
			return nil, fmt.Errorf("reading the program of sample image %s: %w", WriterImage, err)
		}
		if err := b.add(writerSpec(program, opts.Writer.Args)); err != nil {
			return nil, fmt.Errorf("building sample image %s: %w", WriterImage, err)
		}
	}
	return b.release, nil
}

// Image returns the image of the name.
func (r *Release) Image(name string) (Image, bool) {
	for _, img := range r.Images {
		if img.Name == name {
			return img, true
		}
	}
	return Image{}, false
}

// Blob returns a config or a layer as the registry holds it. The caller must
// not change the bytes.
func (r *Release) Blob(d digest.Digest) ([]byte, bool) {
	data, ok := r.blobs[d]
	return data, ok
}

// Manifest returns the bytes of a manifest, index or manifest list. The caller
// must not change them.
func (r *Release) Manifest(d digest.Digest) ([]byte, bool) {
	for _, m := range r.manifests {
		if m.digest == d {
			return m.raw, true
		}
	}
	return nil, false
}

// ImagesList returns the references of all images as a list file.
func (r *Release) ImagesList() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Every image of the made-up release %s.\n\n", Version)
	for _, img := range r.Images {
		b.WriteString(img.Ref + "\n")
	}
	return b.String()
}
