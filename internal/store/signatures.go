package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/jsonbound"
)

// signaturesKey is the data item of an image record with its signatures, one behind
// the other; the record's metadata has their lengths. There containers/image, and so
// CRI-O when it creates a container under a policy, looks for those of an image
// that is here already: no registry is asked then, not even nodeseal serve.
const signaturesKey = "signatures"

// Signatures are some KiB. What is bigger, or comes after so many of a store, is kept
// as an attachment only: a plan is held in memory.
const (
	maxSignature  = 256 << 10
	maxSignatures = 32 << 20
)

// recordMetadata is the metadata of an image record, in containers/image's words.
type recordMetadata struct {
	SignatureSizes []int `json:"signature-sizes,omitempty"`
}

// addSignatures adds the signatures of an attachment, whose own bytes are data, to
// the record of img, where they are about its manifest.
func (p *planner) addSignatures(ctx context.Context, src Metadata, rec *Image, img *bundle.Image, a *bundle.Attachment, data []byte) error {
	switch {
	case a.Kind == bundle.AttachmentSigstore && a.Tag == bundle.SignatureTag(img.Digest):
		var m v1.Manifest
		if err := jsonbound.Unmarshal(data, &m); err != nil {
			return damaged("reading attachment", a.Digest, img, err)
		}
		for _, l := range m.Layers {
			payload, err := readBlob(ctx, src, "reading signature", l.Digest, img)
			if err != nil {
				return err
			}
			blob, err := bundle.SigstoreBlob(l, payload)
			if err != nil {
				return damaged("reading signature", l.Digest, img, err)
			}
			p.addSignature(rec, blob)
		}
	case a.Subject() == img.Digest && a.Signs():
		p.addSignature(rec, bundle.SimpleBlob(data))
	}
	return nil
}

func (p *planner) addSignature(rec *Image, blob []byte) {
	known := slices.ContainsFunc(rec.signatures, func(have []byte) bool { return bytes.Equal(have, blob) })
	if known || len(blob) > maxSignature || p.signatures+len(blob) > maxSignatures {
		return
	}
	p.signatures += len(blob)
	rec.signatures = append(rec.signatures, blob)
}

// finishSignatures makes the data item of all signatures.
func (img *Image) finishSignatures() {
	if len(img.signatures) == 0 {
		return
	}
	all := bytes.Join(img.signatures, nil)
	img.Data = append(img.Data, BigData{Key: signaturesKey, Digest: digest.FromBytes(all), Size: int64(len(all)), Content: all})
}

// metadata is the metadata of the image's record.
func (img *Image) metadata() (string, error) {
	var m recordMetadata
	for _, s := range img.signatures {
		m.SignatureSizes = append(m.SignatureSizes, len(s))
	}
	data, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("encoding records: %w", err)
	}
	return string(data), nil
}
