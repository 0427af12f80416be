package imagefile

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/pull"
	"github.com/nodeseal/nodeseal/layout"
)

// A registry of the distribution project keeps its images in these directories. oc-mirror's cache is such a
// registry's, and its archives, mirror_000001.tar and so on, have the same files.
const (
	storageDir   = "docker/registry/v2"
	repositories = storageDir + "/repositories/"
	storedBlobs  = storageDir + "/blobs/sha256/"
	// workingDir is what oc-mirror's archives have besides.
	workingDir = "working-dir/"
)

const (
	// maxLink bounds the file of a tag, in bytes.
	maxLink = 128
	// maxArchives bounds what is in a directory with archives.
	maxArchives = 10_000
)

// stored matches the members of an archive of a registry that are read: blobs, and what tags mean.
var stored = regexp.MustCompile(`^` + storageDir + `/(blobs/sha256/[0-9a-f]{2}/[0-9a-f]{64}/data|repositories/.+/_manifests/tags/[^/]+/current/link)$`)

// isStorage reports whether a member of a tar is a file of a registry or of oc-mirror's own, and whether it is read.
func isStorage(name string) (is, read bool) {
	is = strings.HasPrefix(name, storageDir+"/") || strings.HasPrefix(name, workingDir)
	return is, is && stored.MatchString(name)
}

// storage is what a registry, or oc-mirror, stored. It knows the paths of repositories, but not of which registries
// the images are: it names none itself, and gives the bytes of those that others name.
type storage struct{ files files }

// openStorage opens a directory that has docker/registry/v2, or archives of oc-mirror (then all of them). It returns
// nil for another.
func openStorage(ctx context.Context, dir string) (*storage, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, nil // it is something else: opened as that, it says what is wrong
	}
	root, err := openDir(dir)
	switch {
	case err != nil:
		return nil, err
	case root.has(v1.ImageIndexFile):
		return nil, nil // it is a layout
	case root.has(storageDir):
		return &storage{root}, nil
	}
	entries, err := root.root.ReadDir(".", maxArchives)
	if err != nil {
		return nil, err
	}
	var all several
	for _, e := range entries {
		if is, err := path.Match("mirror_*.tar", e.Name()); !is || err != nil {
			continue
		}
		t, err := openTar(ctx, filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		if !t.storage {
			return nil, damaged("%s is no archive of oc-mirror v2: it has no %s", e.Name(), storageDir)
		}
		all = append(all, t)
	}
	if len(all) == 0 {
		return nil, nil // it is something else, which is no error
	}
	return &storage{all}, nil
}

// storedPath is where the blob of a digest is.
func storedPath(d digest.Digest) string {
	return storedBlobs + d.Encoded()[:2] + "/" + d.Encoded() + "/data"
}

// manifest implements content.
func (s *storage) manifest(d digest.Digest) (pull.Manifest, error) {
	if layout.CheckDigest(d) != nil {
		return pull.Manifest{}, fmt.Errorf("%w: %q", errAbsent, d)
	}
	data, err := readFile(s.files, storedPath(d), bundle.MaxSmallBlob)
	if err != nil {
		return pull.Manifest{}, err
	}
	if digest.FromBytes(data) != d {
		return pull.Manifest{}, damaged("manifest %s has other bytes than its digest says", d)
	}
	return pull.Manifest{Digest: d, MediaType: mediaType(data), Bytes: data}, nil
}

// blob implements content.
func (s *storage) blob(_ context.Context, d digest.Digest) (io.ReadCloser, error) {
	if layout.CheckDigest(d) != nil {
		return nil, fmt.Errorf("%w: %q", errAbsent, d)
	}
	return s.files.open(storedPath(d))
}

// attached implements content: what belongs to an image has a tag here, which Source asks for.
func (s *storage) attached() []attached { return nil }

// tagged returns what a reference by tag means here; "" if no repository of its path has the tag.
func (s *storage) tagged(ref string) digest.Digest {
	repo := imagelist.Repository(ref)
	tag := strings.TrimPrefix(ref[len(repo):], ":")
	_, rest, ok := strings.Cut(repo, "/")
	if !ok || tag == "" {
		return ""
	}
	paths := []string{rest, repo}
	switch repo { // which oc-mirror calls otherwise
	case "quay.io/openshift-release-dev/ocp-release":
		paths = append(paths, "openshift/release-images")
	case "quay.io/openshift-release-dev/ocp-v4.0-art-dev":
		paths = append(paths, "openshift/release")
	}
	for _, p := range paths {
		link, err := readFile(s.files, repositories+p+"/_manifests/tags/"+tag+"/current/link", maxLink)
		if err != nil {
			continue
		}
		if d := digest.Digest(strings.TrimSpace(string(link))); layout.CheckDigest(d) == nil {
			return d
		}
	}
	return ""
}

// several are the files of many archives; of two with one name the first counts.
type several []*tarFiles

func (s several) open(name string) (io.ReadCloser, error) {
	for _, t := range s {
		if r, err := t.open(name); !isAbsent(err) {
			return r, err
		}
	}
	return nil, fmt.Errorf("%w: %s", errAbsent, name)
}

func (s several) has(name string) bool {
	for _, t := range s {
		if t.has(name) {
			return true
		}
	}
	return false
}
