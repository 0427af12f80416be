package nodestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/pull"
)

// Attachments is where an image's attachments come from that no store has;
// *pull.Client is one.
type Attachments interface {
	Attached(ctx context.Context, ref, tag string) (pull.Manifest, error)
	Referrers(ctx context.Context, ref string) ([]v1.Descriptor, error)
	Lookaside(ctx context.Context, ref string) ([][]byte, error)
}

// AttachmentSource is a Source with attachments. Of an image that a store has they
// are the store's, which nodeseal made then; no registry is asked for them: who
// takes images out of a store may not reach one.
type AttachmentSource struct {
	*Source
	// Elsewhere is asked for all other images.
	Elsewhere Attachments
}

// readAttachments reads the inventory of a store that nodeseal made: attachments and roles.
func (s *Store) readAttachments() error {
	raw, err := s.store.RawInventory()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	inv, err := bundle.ParseInventory(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	for i := range inv.Images {
		img := &inv.Images[i]
		if img.Role != "" {
			s.roles[img.Named(img.Ref)] = img.Role
		}
		for _, a := range img.Attachments {
			s.attachments = append(s.attachments, attachment{a, img})
		}
	}
	return nil
}

// attachment is one that a store may have.
type attachment struct {
	bundle.Attachment
	img *bundle.Image
}

// of calls each with the attachments of the manifest d, and their own bytes, that
// the store has.
func (s *Store) of(d digest.Digest, each func(a attachment, data []byte)) {
	seen := make(map[digest.Digest]bool)
	for _, a := range s.attachments {
		if (a.img.Digest != d && a.img.Index != d) || seen[a.Digest] {
			continue
		}
		if data, err := s.store.Attachment(a.Digest); err == nil {
			seen[a.Digest] = true
			each(a, data)
		}
	}
}

// Signatures returns the release signatures that the store has.
func (s *Store) Signatures() []imagelist.Signature {
	var out []imagelist.Signature
	for _, a := range s.attachments {
		if a.Kind != bundle.AttachmentRelease {
			continue
		}
		if data, err := s.store.Attachment(a.Digest); err == nil {
			out = append(out, imagelist.Signature{Digest: a.Subject(), Key: a.Key, Data: data})
		}
	}
	return out
}

// having returns the store that has ref, and ref's digest.
func (s *Source) having(ref string) (*Store, digest.Digest) {
	for _, st := range s.Stores {
		if st.Has(ref) {
			_, d := st.digestOf(ref)
			return st, d
		}
	}
	return nil, ""
}

// Attached returns the manifest that a registry had under tag, as pull.Client does.
func (s AttachmentSource) Attached(ctx context.Context, ref, tag string) (pull.Manifest, error) {
	st, d := s.having(ref)
	if st == nil {
		return s.Elsewhere.Attached(ctx, ref, tag)
	}
	m, err := pull.Manifest{}, fmt.Errorf("%s of %s: %w", tag, ref, pull.ErrNotFound)
	st.of(d, func(a attachment, data []byte) {
		if a.Tag == tag {
			m, err = pull.Manifest{Digest: a.Digest, MediaType: mediaType(data), Bytes: data}, nil
		}
	})
	return m, err
}

// Referrers returns what refers to ref, as pull.Client does.
func (s AttachmentSource) Referrers(ctx context.Context, ref string) ([]v1.Descriptor, error) {
	st, d := s.having(ref)
	if st == nil {
		return s.Elsewhere.Referrers(ctx, ref)
	}
	var out []v1.Descriptor
	st.of(d, func(a attachment, data []byte) {
		_, _, subject, err := bundle.DescribeAttachment(data, mediaType(data))
		if a.Kind == bundle.AttachmentReferrer && err == nil && subject == d {
			out = append(out, v1.Descriptor{MediaType: mediaType(data), Digest: a.Digest, Size: int64(len(data))})
		}
	})
	return out, nil
}

// Lookaside returns the simple signatures of ref, as pull.Client does.
func (s AttachmentSource) Lookaside(ctx context.Context, ref string) ([][]byte, error) {
	st, d := s.having(ref)
	if st == nil {
		return s.Elsewhere.Lookaside(ctx, ref)
	}
	var out [][]byte
	st.of(d, func(a attachment, data []byte) {
		if a.Kind == bundle.AttachmentSimple && a.Subject() == d {
			out = append(out, data)
		}
	})
	return out, nil
}

// Manifest is Source's, and returns the manifests of attachments too.
func (s AttachmentSource) Manifest(ctx context.Context, ref string) (pull.Manifest, error) {
	_, d := imagelist.Split(ref)
	for _, st := range s.Stores {
		for _, a := range st.attachments {
			if d == "" || a.Digest != d {
				continue
			}
			if data, err := st.store.Attachment(d); err == nil {
				return pull.Manifest{Digest: d, MediaType: mediaType(data), Bytes: data}, nil
			}
		}
	}
	return s.Source.Manifest(ctx, ref)
}
