// Package layout keeps an OCI image layout in a directory: blobs that exist
// only under their digest, put there by rename after they were verified and
// synced, and the index. It implements the image-layout section of the OCI
// image specification, version 1.1.
package layout

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/internal/atomicfile"
	"github.com/nodeseal/nodeseal/internal/jsonbound"
	"github.com/nodeseal/nodeseal/internal/safefile"
)

// maxIndex bounds index.json, in bytes: 10,000 images take some 4 MiB.
const maxIndex = 16 << 20

// Marker is the content of the file oci-layout.
const Marker = `{"imageLayoutVersion":"` + v1.ImageLayoutVersion + `"}`

// ErrNotLayout is wrapped when a directory holds no OCI image layout.
var ErrNotLayout = errors.New("not an OCI image layout")

// CheckDigest refuses a string that is no digest, and a digest of another algorithm
// than sha256, the only one that this package and bundles use.
func CheckDigest(d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return fmt.Errorf("digest %q: %w", d, err)
	}
	if d.Algorithm() != digest.SHA256 {
		return fmt.Errorf("digest %q: only sha256 is supported", d)
	}
	return nil
}

// BlobPath returns the slash-separated path of a blob within a layout, "" if
// CheckDigest refuses the digest.
func BlobPath(d digest.Digest) string {
	if CheckDigest(d) != nil {
		return ""
	}
	return path.Join(v1.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}

// Dir is an image layout in a directory. Its methods may be called at the same
// time, also from several processes.
type Dir struct {
	root string
}

// Create opens the layout in the directory root and makes it where there is none.
func Create(root string) (*Dir, error) {
	blobs := filepath.Join(root, v1.ImageBlobsDir, digest.SHA256.String())
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return nil, fmt.Errorf("making image layout: %w", err)
	}
	marker := filepath.Join(root, v1.ImageLayoutFile)
	if _, err := os.Stat(marker); errors.Is(err, fs.ErrNotExist) {
		if err := atomicfile.WriteBytes(marker, 0o644, []byte(Marker)); err != nil {
			return nil, fmt.Errorf("making image layout: %w", err)
		}
	}
	return Open(root)
}

// maxMarker bounds the file that says that a directory is a layout, in bytes.
const maxMarker = 64 << 10

// Open opens the layout in the directory root. The error wraps ErrNotLayout
// where there is none, or one of a version that this package does not know.
func Open(root string) (*Dir, error) {
	data, err := safefile.ReadFile(filepath.Join(root, v1.ImageLayoutFile), maxMarker)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", root, ErrNotLayout, err)
	}
	var marker v1.ImageLayout
	if err := json.Unmarshal(data, &marker); err != nil || marker.Version != v1.ImageLayoutVersion {
		return nil, fmt.Errorf("%s: %w of version %s", root, ErrNotLayout, v1.ImageLayoutVersion)
	}
	return &Dir{root: root}, nil
}

// Put stores the bytes of r as the blob d of size bytes. The blob has its name
// only when the bytes were verified and synced; a blob that is there already is
// kept and r is not read. The error wraps ErrDigest or ErrSize where the bytes
// are others.
func (l *Dir) Put(ctx context.Context, d digest.Digest, size int64, r io.Reader) error {
	name, err := l.path(d)
	if err != nil {
		return fmt.Errorf("storing blob: %w", err)
	}
	if l.Has(d) {
		return nil
	}
	verified := NewVerifier(contextReader{ctx, r}, d, size)
	if err := atomicfile.Write(name, 0o444, verified); err != nil {
		return fmt.Errorf("storing blob %s: %w", d, err)
	}
	return nil
}

// PutBytes stores data as a blob and returns its digest.
func (l *Dir) PutBytes(ctx context.Context, data []byte) (digest.Digest, error) {
	d := digest.FromBytes(data)
	return d, l.Put(ctx, d, int64(len(data)), bytes.NewReader(data))
}

// Has reports whether the blob is there. A string that is no digest names no blob.
func (l *Dir) Has(d digest.Digest) bool {
	name, err := l.path(d)
	if err != nil {
		return false
	}
	info, err := os.Lstat(name)
	return err == nil && info.Mode().IsRegular()
}

// Open returns a reader over the blob that ends with an error that wraps
// ErrDigest when the bytes on the disk are no longer the blob's. The caller
// closes it. The error wraps fs.ErrNotExist where the blob is not there.
func (l *Dir) Open(d digest.Digest) (io.ReadCloser, error) {
	name, err := l.path(d)
	if err != nil {
		return nil, fmt.Errorf("opening blob: %w", err)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", d, err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("blob %s: %w", d, err), f.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{NewVerifier(f, d, info.Size()), f}, nil
}

// ReadBlob returns the whole blob of at most limit bytes, verified. The limit must
// be 0 or more and less than the largest int64.
func (l *Dir) ReadBlob(d digest.Digest, limit int64) (data []byte, err error) {
	if limit < 0 || limit == math.MaxInt64 {
		return nil, fmt.Errorf("reading blob %s: a limit of %d bytes", d, limit)
	}
	r, err := l.Open(d)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	data, err = io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading blob %s: %w", d, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("blob %s: %w: more than %d bytes", d, ErrSize, limit)
	}
	return data, nil
}

// Remove deletes a blob. A blob that is not there is no error.
func (l *Dir) Remove(d digest.Digest) error {
	name, err := l.path(d)
	if err != nil {
		return fmt.Errorf("removing blob: %w", err)
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing blob %s: %w", d, err)
	}
	return nil
}

// Blobs returns the digests of all blobs, sorted.
func (l *Dir) Blobs() ([]digest.Digest, error) {
	entries, err := os.ReadDir(filepath.Join(l.root, v1.ImageBlobsDir, digest.SHA256.String()))
	if err != nil {
		return nil, fmt.Errorf("listing blobs: %w", err)
	}
	var out []digest.Digest
	for _, e := range entries {
		if d := digest.NewDigestFromEncoded(digest.SHA256, e.Name()); d.Validate() == nil && e.Type().IsRegular() {
			out = append(out, d)
		}
	}
	return out, nil
}

// SetIndex puts index in the place of index.json.
func (l *Dir) SetIndex(index v1.Index) error {
	data, err := MarshalIndex(index)
	if err != nil {
		return err
	}
	if err := atomicfile.WriteBytes(filepath.Join(l.root, v1.ImageIndexFile), 0o644, data); err != nil {
		return fmt.Errorf("writing index: %w", err)
	}
	return nil
}

// Index reads index.json.
func (l *Dir) Index() (v1.Index, error) {
	f, err := os.Open(filepath.Join(l.root, v1.ImageIndexFile))
	if err != nil {
		return v1.Index{}, fmt.Errorf("reading index: %w", err)
	}
	defer f.Close()
	return ParseIndex(f)
}

// MarshalIndex returns index.json as this package writes it. Schema version and
// media type are set where they are missing.
func MarshalIndex(index v1.Index) ([]byte, error) {
	index.Versioned = specs.Versioned{SchemaVersion: 2}
	index.MediaType = v1.MediaTypeImageIndex
	if index.Manifests == nil {
		index.Manifests = []v1.Descriptor{}
	}
	data, err := json.MarshalIndent(index, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encoding index: %w", err)
	}
	return append(data, '\n'), nil
}

// ParseIndex reads an index from r, which may be at most 16 MiB long.
func ParseIndex(r io.Reader) (v1.Index, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxIndex+1))
	if err != nil {
		return v1.Index{}, fmt.Errorf("reading index: %w", err)
	}
	if len(data) > maxIndex {
		return v1.Index{}, fmt.Errorf("reading index: %w: more than %d bytes", ErrSize, maxIndex)
	}
	var index v1.Index
	if err := jsonbound.Unmarshal(data, &index); err != nil {
		return v1.Index{}, fmt.Errorf("reading index: %w", err)
	}
	return index, nil
}

// path returns where the blob is. No method makes a path of a digest that was not
// checked: "sha256:../../../x" would lead out of the layout.
func (l *Dir) path(d digest.Digest) (string, error) {
	if err := CheckDigest(d); err != nil {
		return "", err
	}
	return filepath.Join(l.root, filepath.FromSlash(BlobPath(d))), nil
}

// contextReader stops reading when its context ends.
type contextReader struct {
	ctx context.Context //nolint:containedctx // lives for one call of Put
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}
