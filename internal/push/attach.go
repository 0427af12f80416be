package push

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/jsonbound"
)

// attachments pushes the signatures and other referrers of an image that are manifests. They
// are about its digest: one that was recompressed gets none.
func (p *pusher) attachments(ctx context.Context, it *item, out *Image) error {
	for i := range it.Attachments {
		a := &it.Attachments[i]
		switch {
		case !a.HasManifest():
			continue // no registry has it
		case it.changed:
			out.Unattached++
			continue
		}
		doc, err := p.attachment(ctx, it, a)
		if err != nil {
			return err
		}
		for _, pl := range it.places {
			if err := p.attach(ctx, pl.repository, a, it.attached[i], doc); err != nil {
				return fmt.Errorf("attachment %s: %w", a.Digest, err)
			}
		}
		out.Attached++
	}
	return nil
}

// attachment reads the manifest of an attachment.
func (p *pusher) attachment(ctx context.Context, it *item, a *bundle.Attachment) (document, error) {
	data, err := p.o.Source.ReadBlob(ctx, a.Digest)
	if err != nil {
		return document{}, err
	}
	if err := it.CheckAttachment(a, data); err != nil {
		return document{}, err
	}
	var m v1.Manifest // of an index it has what is asked here, too
	if err := jsonbound.Unmarshal(data, &m); err != nil {
		return document{}, fmt.Errorf("%w: attachment %s: %w", bundle.ErrChain, a.Digest, err)
	}
	doc := document{digest: a.Digest, mediaType: m.MediaType, data: data, annotations: m.Annotations}
	if doc.mediaType == "" {
		doc.mediaType = v1.MediaTypeImageManifest
	}
	if m.Subject != nil {
		doc.subject = m.Subject.Digest
	}
	return doc, nil
}

// attach pushes one attachment into a repository.
func (p *pusher) attach(ctx context.Context, repository string, a *bundle.Attachment, blobs []*blob, doc document) error {
	for _, b := range blobs {
		if err := p.r.ensure(ctx, repository, b); err != nil {
			return err
		}
	}
	version := a.Tag
	if version == "" {
		version = a.Digest.String()
	}
	keeps, err := p.r.put(ctx, repository, doc, version)
	if err != nil || doc.subject == "" || keeps {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock() // the list of a subject is read and written
	return p.r.refer(ctx, repository, doc, a.MediaType)
}

// refer adds a referrer to the list that clients read where a registry has no referrers API:
// the index under the tag sha256-<hex> of the subject (OCI distribution specification 1.1,
// "Pushing Manifests with Subject"). The entry has the annotations of the referrer.
func (r *remote) refer(ctx context.Context, repository string, doc document, artifactType string) error {
	repo, err := r.repository(repository)
	if err != nil {
		return err
	}
	tag := strings.Replace(doc.subject.String(), ":", "-", 1)
	data, err := r.manifest(ctx, repo, tag, v1.MediaTypeImageIndex)
	if err != nil {
		return err
	}
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex}
	if data != nil {
		if err := jsonbound.Unmarshal(data, &index); err != nil {
			return fmt.Errorf("list of referrers %s:%s: %w", repository, tag, err)
		}
		if index.MediaType != v1.MediaTypeImageIndex {
			return fmt.Errorf("list of referrers %s:%s: %w", repository, tag, errForeign)
		}
	}
	if slices.ContainsFunc(index.Manifests, func(m v1.Descriptor) bool {
		return m.Digest == doc.digest && maps.Equal(m.Annotations, doc.annotations)
	}) {
		return nil
	}
	index.Manifests = slices.DeleteFunc(index.Manifests, func(m v1.Descriptor) bool { return m.Digest == doc.digest })
	index.Manifests = append(index.Manifests, v1.Descriptor{
		MediaType: doc.mediaType, Digest: doc.digest, Size: int64(len(doc.data)), ArtifactType: artifactType, Annotations: doc.annotations,
	})
	slices.SortFunc(index.Manifests, func(a, b v1.Descriptor) int { return strings.Compare(a.Digest.String(), b.Digest.String()) })
	if data, err = json.Marshal(index); err != nil {
		return fmt.Errorf("list of referrers: %w", err)
	}
	_, err = r.put(ctx, repository, document{digest: digest.FromBytes(data), mediaType: v1.MediaTypeImageIndex, data: data}, tag)
	return err
}

var errForeign = errors.New("the tag is of something else than a list of referrers")
