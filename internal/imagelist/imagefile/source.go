package imagefile

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/pull"
)

// Registry is asked for what no file has; *pull.Client is one.
type Registry interface {
	Manifest(ctx context.Context, ref string) (pull.Manifest, error)
	Blob(ctx context.Context, ref string, d digest.Digest, size, offset int64) (io.ReadCloser, error)
	Reject(d digest.Digest)
	BlobSize(ctx context.Context, ref string, d digest.Digest) (int64, error)
	Head(ctx context.Context, ref string) (v1.Descriptor, error)
	Attached(ctx context.Context, ref, tag string) (pull.Manifest, error)
	Referrers(ctx context.Context, ref string) ([]v1.Descriptor, error)
	Lookaside(ctx context.Context, ref string) ([][]byte, error)
}

// Source gives images out of files, and all others from the registry. What a file says of an
// image counts: the registry is not asked for its layers, nor for what is attached to it,
// because who takes images out of files may not reach one. It is safe for concurrent use.
type Source struct {
	// Files are asked in their order.
	Files []*File
	Registry
}

func isAbsent(err error) bool { return errors.Is(err, errAbsent) }

// having returns the file that has what ref names, nil if none has; and its manifest.
func (s *Source) having(ref string) (*File, pull.Manifest, error) {
	for _, f := range s.Files {
		d := f.digestOf(ref)
		if d == "" {
			continue
		}
		// An archive of oc-mirror can have the tag, and another one the image.
		for _, in := range append([]*File{f}, s.Files...) {
			m, err := in.content.manifest(d)
			if isAbsent(err) {
				continue
			}
			if err != nil {
				err = fmt.Errorf("%s: %w", in.Path, err)
			}
			return in, m, err
		}
	}
	return nil, pull.Manifest{}, nil
}

// Manifest returns the manifest or list that ref names, verified.
func (s *Source) Manifest(ctx context.Context, ref string) (pull.Manifest, error) {
	if f, m, err := s.having(ref); f != nil {
		return m, err
	}
	return s.Registry.Manifest(ctx, ref)
}

// Head resolves ref to a digest.
func (s *Source) Head(ctx context.Context, ref string) (v1.Descriptor, error) {
	if f, m, err := s.having(ref); f != nil {
		return v1.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: int64(len(m.Bytes))}, err
	}
	return s.Registry.Head(ctx, ref)
}

// Blob opens a blob from offset on, not verified.
func (s *Source) Blob(ctx context.Context, ref string, d digest.Digest, size, offset int64) (io.ReadCloser, error) {
	for _, f := range s.Files {
		r, err := f.content.blob(ctx, d)
		if isAbsent(err) {
			continue
		}
		if err == nil && f.isRejected(d) {
			err = errors.Join(damaged("blob %s has other bytes than its digest says", d), r.Close())
		}
		if err == nil && offset > 0 {
			if _, skip := io.CopyN(io.Discard, r, offset); skip != nil {
				err = errors.Join(skip, r.Close())
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
		return r, nil
	}
	if f, _, _ := s.having(ref); f != nil {
		if f.NamesNone() {
			return nil, fmt.Errorf("%s: %w", f.Path, damaged("%w: %s: archives of earlier runs of oc-mirror may have it: name their directory, too", errAbsent, d))
		}
		return nil, fmt.Errorf("%s: %w", f.Path, damaged("%w: %s", errAbsent, d))
	}
	return s.Registry.Blob(ctx, ref, d, size, offset)
}

// BlobSize returns the length of a blob, of which the manifest says another one.
func (s *Source) BlobSize(ctx context.Context, ref string, d digest.Digest) (int64, error) {
	for _, f := range s.Files {
		r, err := f.content.blob(ctx, d)
		if isAbsent(err) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("%s: %w", f.Path, err)
		}
		n, err := io.Copy(io.Discard, r)
		return n, errors.Join(err, r.Close())
	}
	return s.Registry.BlobSize(ctx, ref, d)
}

func (f *File) isRejected(d digest.Digest) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rejected[d]
}

// Reject says that the bytes that Blob gave for d were others.
func (s *Source) Reject(d digest.Digest) {
	for _, f := range s.Files {
		f.mu.Lock()
		f.rejected[d] = true
		f.mu.Unlock()
	}
	s.Registry.Reject(d)
}

// Attached returns the manifest that a layout has under a tag as sha256-HEX.sig.
func (s *Source) Attached(ctx context.Context, ref, tag string) (pull.Manifest, error) {
	f, _, err := s.having(ref)
	if f == nil {
		return s.Registry.Attached(ctx, ref, tag)
	}
	if f.NamesNone() && err == nil {
		name, _ := imagelist.Split(ref)
		if in, m, err := s.having(imagelist.Repository(name) + ":" + tag); in != nil {
			return m, err
		}
	}
	for _, a := range f.content.attached() {
		if a.tag == tag && err == nil {
			return f.content.manifest(a.Digest)
		}
	}
	return pull.Manifest{}, errors.Join(err, fmt.Errorf("%s of %s: %w", tag, ref, pull.ErrNotFound))
}

// Referrers returns what of a layout has the image as its subject.
func (s *Source) Referrers(ctx context.Context, ref string) ([]v1.Descriptor, error) {
	f, m, err := s.having(ref)
	if f == nil {
		return s.Registry.Referrers(ctx, ref)
	}
	var out []v1.Descriptor
	for _, a := range f.content.attached() {
		if a.subject == m.Digest {
			out = append(out, a.Descriptor)
		}
	}
	return out, err
}

// Lookaside returns no signatures for an image of a file: no form of file has any.
func (s *Source) Lookaside(ctx context.Context, ref string) ([][]byte, error) {
	if f, _, err := s.having(ref); f != nil {
		return nil, err
	}
	return s.Registry.Lookaside(ctx, ref)
}
