// Package whatis names the files and directories that people give a command in the
// place of another: an OCI archive for a bundle, a bundle for a list. It looks at their
// beginning only, trusts nothing of it, and knows no more than a name and the command
// that takes the thing.
package whatis

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// Kind is what a thing is.
type Kind string

// The kinds. The zero value is a thing that is not known.
const (
	Empty         Kind = "an empty file"
	Zstd          Kind = "a bundle, or another file that is compressed with zstd"
	ZstdOCI       Kind = "an OCI archive that is compressed with zstd"
	Image         Kind = "an EROFS image"
	OCIArchive    Kind = "an OCI archive"
	DockerArchive Kind = "a docker archive"
	Tar           Kind = "a tar file"
	Gzip          Kind = "a file that is compressed with gzip"
	GzipTar       Kind = "a tar file that is compressed with gzip"
	XZ            Kind = "a file that is compressed with xz"
	Bzip2         Kind = "a file that is compressed with bzip2"
	Zip           Kind = "a zip file"
	Program       Kind = "a program"
	Disk          Kind = "the image of a disk"
	HTML          Kind = "a web page"
	PublicKey     Kind = "a public key"
	PrivateKey    Kind = "a private key"
	PEM           Kind = "a PEM file"
	Signature     Kind = "a signature"
	Sums          Kind = "a list of sums"
	JSON          Kind = "a JSON document"
	YAML          Kind = "a YAML document"
	List          Kind = "a list of references"
	Layout        Kind = "an OCI layout"
	SkopeoDir     Kind = "an image in the form of skopeo's dir transport"
	Store         Kind = "an image store"
	Slots         Kind = "the directory with the slots"
	Stick         Kind = "a directory with a bundle, as on a stick"
	EmptyDir      Kind = "an empty directory"
	Dir           Kind = "a directory"
)

// next says what takes a thing of kind k, "" if nothing does; PATH stands for the thing.
func (k Kind) next() string {
	switch k {
	case Zstd:
		return "nodeseal inspect PATH shows what is in a bundle"
	case ZstdOCI:
		return "zstd -d PATH unpacks it, and nodeseal bundle --from-layout takes the tar that this makes"
	case Image:
		return "nodeseal import takes an image that --image-out made, under a name that ends with .erofs"
	case OCIArchive, DockerArchive, Layout:
		return "nodeseal bundle --from-layout PATH -o NAME.tar.zst makes a bundle of it"
	case GzipTar:
		return "gunzip -k PATH unpacks it, and nodeseal bundle --from-layout takes the tar that this makes if images are in it"
	case SkopeoDir:
		return "skopeo copy dir:PATH oci-archive:FILE.tar:REGISTRY/REPOSITORY:TAG gives it a name, and nodeseal bundle --from-layout takes FILE.tar"
	case HTML:
		return "a server sent a page in the place of the file: download it again, and open it in a browser to see why"
	case PublicKey:
		return "--key PATH checks signatures with it"
	case PrivateKey:
		return "--sign-key PATH signs with it; it does not belong on a stick or a node"
	case Signature:
		return "name the bundle that it lies beside"
	case Sums:
		return "sha256sum -c PATH checks the files that it lists"
	case JSON, YAML:
		return "nodeseal list --images PATH reads lists and objects"
	case List:
		return "nodeseal bundle --images PATH -o NAME.tar.zst makes a bundle of it"
	case Store:
		return "nodeseal inspect PATH and nodeseal verify PATH take it"
	case Slots:
		return "name one of the slots: PATH/a or PATH/b"
	case Stick:
		return "nodeseal import-stick PATH takes it; other commands take the bundle in it"
	}
	return ""
}

// plain is a path that a shell takes as it is.
var plain = regexp.MustCompile(`^[a-zA-Z0-9/._+:@-]+$`)

// Error says that a thing is not of the kind that is wanted.
type Error struct {
	Path string
	Kind Kind
	// Want is what it should be: "a bundle".
	Want string
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s is %s, not %s", e.Path, e.Kind, e.Want) }

// Next says which command takes the thing, "" if none does.
func (e *Error) Next() string {
	path := e.Path
	if !plain.MatchString(path) {
		path = "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return strings.ReplaceAll(e.Kind.next(), "PATH", path)
}

// Of says what the file at path is, "" if it is not known, or no regular file.
func Of(path string) Kind {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return ofFile(path)
}

// part ends the names of the parts of a bundle: a part that is not the first one has no
// beginning that says anything.
var part = regexp.MustCompile(`\.[0-9]{3}$`)

// NoBundle returns an *Error if path is something that is known, and no bundle: also not a
// damaged one. A bundle is of kind Zstd; an empty file is one that was cut.
func NoBundle(path string) error {
	if part.MatchString(path) {
		return nil
	}
	return not(path, "a bundle", Zstd, Empty)
}

// NoStore returns an *Error if path is a directory that is known, and no store.
func NoStore(path string) error { return not(path, "a store", Store, Dir, EmptyDir, Zstd, Image) }

// Images is what a file with images is: Error.Want of NoImages.
const Images = "an OCI layout, an OCI archive or a docker archive"

// NoImages returns an *Error if path is something that is known, and neither an OCI layout
// nor an archive of images; a tar file may be one that was cut off.
func NoImages(path string) error { return not(path, Images, Layout, OCIArchive, DockerArchive, Tar) }

// NoList returns an *Error if the open file is known, and is neither a list nor objects.
// Where the file is read from does not change.
func NoList(f *os.File) error {
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil
	case info.IsDir():
		return unless(f.Name(), ofDir(f.Name()), "a list")
	case !info.Mode().IsRegular():
		return nil // a pipe is read once
	}
	head := make([]byte, headLen)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	is := ofHead(head[:n])
	if is == Tar || is == Gzip || is == Zstd {
		is = ofFile(f.Name())
	}
	return unless(f.Name(), is, "a list", Empty, List, JSON, YAML)
}

func not(path, want string, kinds ...Kind) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil // who opens it says why
	case info.IsDir():
		return unless(path, ofDir(path), want, kinds...)
	case !info.Mode().IsRegular():
		return nil
	}
	return unless(path, ofFile(path), want, kinds...)
}

func unless(path string, is Kind, want string, kinds ...Kind) error {
	if is == "" {
		return nil
	}
	for _, k := range kinds {
		if is == k {
			return nil
		}
	}
	return &Error{Path: path, Kind: is, Want: want}
}
