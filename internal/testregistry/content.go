// Package testregistry is a registry for tests and benchmarks: images made of
// this machine's files, kept on its disk, served over HTTP, and as much trouble
// on the way as a test asks for.
package testregistry

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Content is what a Registry serves. It is filled first and served then.
type Content struct {
	dir       string
	mu        sync.Mutex
	manifests map[string]manifest // by repository@digest and repository:tag
}

type manifest struct {
	mediaType string
	data      []byte
}

// Layer is a layer that an image can be made of.
type Layer struct {
	v1.Descriptor
	DiffID digest.Digest
	Plain  int64 // length of the tar
}

// NewContent returns an empty Content that keeps its blobs in dir.
func NewContent(dir string) *Content {
	return &Content{dir: dir, manifests: make(map[string]manifest)}
}

// Copy is a Content with the same blobs and manifests, which keeps its blobs in dir.
func (c *Content) Copy(dir string) (*Content, error) {
	if err := os.CopyFS(dir, os.DirFS(c.dir)); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return &Content{dir: dir, manifests: maps.Clone(c.manifests)}, nil
}

func (c *Content) path(d digest.Digest) string { return filepath.Join(c.dir, d.Encoded()) }

// AddLayer makes a gzip layer of files and of what is in directories, as they
// are on this machine, with fixed times and owners. What cannot be read is left
// out. The same files give the same layer.
func (c *Content) AddLayer(paths ...string) (Layer, error) {
	return c.AddTar(func(w *tar.Writer) error {
		for _, path := range paths {
			if err := AddTree(w, "", path); err != nil {
				return err
			}
		}
		return nil
	})
}

// AddTree writes the file at path, or all below the directory, under their own
// paths behind prefix.
func AddTree(w *tar.Writer, prefix, path string) error {
	return filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // left out
		}
		return addFile(w, prefix, path, d)
	})
}

// AddFiles writes the named files, not what is in directories.
func AddFiles(w *tar.Writer, paths []string) error {
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err != nil {
			continue
		}
		if err := addFile(w, "", path, fs.FileInfoToDirEntry(info)); err != nil {
			return err
		}
	}
	return nil
}

// AddTar makes a gzip layer of what write writes.
func (c *Content) AddTar(write func(*tar.Writer) error) (_ Layer, err error) {
	f, err := os.CreateTemp(c.dir, "layer")
	if err != nil {
		return Layer{}, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	compressed, plain := digest.SHA256.Digester(), digest.SHA256.Digester()
	z := gzip.NewWriter(io.MultiWriter(f, compressed.Hash()))
	var size counter
	w := tar.NewWriter(io.MultiWriter(z, plain.Hash(), &size))
	if err := errors.Join(write(w), w.Close(), z.Close()); err != nil {
		return Layer{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return Layer{}, err
	}
	l := Layer{
		Descriptor: v1.Descriptor{MediaType: v1.MediaTypeImageLayerGzip, Digest: compressed.Digest(), Size: info.Size()},
		DiffID:     plain.Digest(), Plain: int64(size),
	}
	return l, os.Rename(f.Name(), c.path(l.Digest))
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

func addFile(w *tar.Writer, prefix, path string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return nil // left out
	}
	h := &tar.Header{Name: prefix + strings.TrimPrefix(path, "/"), Mode: int64(info.Mode().Perm())}
	switch {
	case info.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
	case info.Mode()&fs.ModeSymlink != 0:
		h.Typeflag = tar.TypeSymlink
		if h.Linkname, err = os.Readlink(path); err != nil {
			return nil // left out
		}
	case info.Mode().IsRegular():
		f, err := os.Open(path)
		if err != nil {
			return nil // left out
		}
		defer f.Close()
		h.Typeflag, h.Size = tar.TypeReg, info.Size()
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err = io.CopyN(w, f, h.Size)
		return err
	default:
		return nil
	}
	return w.WriteHeader(h)
}

// AddBlob adds a blob of any kind.
func (c *Content) AddBlob(data []byte) (digest.Digest, error) {
	d := digest.FromBytes(data)
	return d, os.WriteFile(c.path(d), data, 0o644)
}

// AddManifest adds a manifest to a repository, under its digest and the tags.
func (c *Content) AddManifest(repository, mediaType string, data []byte, tags ...string) digest.Digest {
	d := digest.FromBytes(data)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.manifests[repository+"@"+d.String()] = manifest{mediaType, data}
	for _, tag := range tags {
		c.manifests[repository+":"+tag] = manifest{mediaType, data}
	}
	return d
}

// AddAttachment adds a manifest and the blobs that it names to a repository, under
// its digest and the tags.
func (c *Content) AddAttachment(repository string, data []byte, blobs [][]byte, tags ...string) (digest.Digest, error) {
	for _, b := range blobs {
		if _, err := c.AddBlob(b); err != nil {
			return "", err
		}
	}
	return c.AddManifest(repository, v1.MediaTypeImageManifest, data, tags...), nil
}

// Remove takes a manifest out of a repository, by tag or digest.
func (c *Content) Remove(repository, version string) {
	sep := ":"
	if strings.Contains(version, ":") {
		sep = "@"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.manifests, repository+sep+version)
}

// referrers are the manifests of the repository that have subject as theirs, sorted.
func (c *Content) referrers(repository, subject string) []v1.Descriptor {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := []v1.Descriptor{}
	for name, m := range c.manifests {
		var parsed v1.Manifest
		if !strings.HasPrefix(name, repository+"@") || json.Unmarshal(m.data, &parsed) != nil ||
			parsed.Subject == nil || parsed.Subject.Digest.String() != subject {
			continue
		}
		found = append(found, v1.Descriptor{
			MediaType: m.mediaType, Digest: digest.FromBytes(m.data), Size: int64(len(m.data)), ArtifactType: parsed.ArtifactType,
		})
	}
	slices.SortFunc(found, func(a, b v1.Descriptor) int { return strings.Compare(a.Digest.String(), b.Digest.String()) })
	return found
}

// AddImage adds an OCI image for linux/amd64 to a repository and returns the
// manifest's digest.
func (c *Content) AddImage(repository string, layers []Layer, tags ...string) (digest.Digest, error) {
	return c.AddImageFor(repository, "amd64", layers, tags...)
}

// AddImageFor is AddImage for another architecture.
func (c *Content) AddImageFor(repository, architecture string, layers []Layer, tags ...string) (digest.Digest, error) {
	config := v1.Image{Platform: v1.Platform{OS: "linux", Architecture: architecture}, RootFS: v1.RootFS{Type: "layers"}}
	config.Author = repository
	m := v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest}
	for _, l := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, l.DiffID)
		m.Layers = append(m.Layers, l.Descriptor)
	}
	data, err := json.Marshal(config)
	if err != nil {
		return "", fmt.Errorf("configuration: %w", err)
	}
	d, err := c.AddBlob(data)
	if err != nil {
		return "", err
	}
	m.Config = v1.Descriptor{MediaType: v1.MediaTypeImageConfig, Digest: d, Size: int64(len(data))}
	if data, err = json.Marshal(m); err != nil {
		return "", fmt.Errorf("manifest: %w", err)
	}
	return c.AddManifest(repository, v1.MediaTypeImageManifest, data, tags...), nil
}

// AddIndex adds a list of images of the repository, by their architectures.
func (c *Content) AddIndex(repository string, images map[string]digest.Digest, tags ...string) (digest.Digest, error) {
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex}
	for _, arch := range slices.Sorted(maps.Keys(images)) {
		c.mu.Lock()
		m := c.manifests[repository+"@"+images[arch].String()]
		c.mu.Unlock()
		index.Manifests = append(index.Manifests, v1.Descriptor{
			MediaType: m.mediaType, Digest: images[arch], Size: int64(len(m.data)), Platform: &v1.Platform{OS: "linux", Architecture: arch},
		})
	}
	data, err := json.Marshal(index)
	if err != nil {
		return "", fmt.Errorf("list: %w", err)
	}
	return c.AddManifest(repository, v1.MediaTypeImageIndex, data, tags...), nil
}
