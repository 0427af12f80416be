package store_test

import (
	"context"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
)

// signed is a source with simple signatures added to its only image.
type signed struct {
	*storetest.Source
	blobs map[digest.Digest][]byte
}

// ReadBlob implements store.Metadata.
func (s *signed) ReadBlob(ctx context.Context, d digest.Digest) ([]byte, error) {
	if data, ok := s.blobs[d]; ok {
		return data, nil
	}
	return s.Source.ReadBlob(ctx, d)
}

// TestSignaturesBounded: signatures stand in the record, each once; one that is too
// big is an attachment alone.
func TestSignaturesBounded(t *testing.T) {
	t.Parallel()
	src := &signed{Source: storetest.NewSource(t, bundle.Expanded), blobs: make(map[digest.Digest][]byte)}
	img := src.Add(storetest.Image{Repository: "quay.io/a/b"})
	subject := img.Digest
	src.Edit(func(inv *bundle.Inventory) {
		for i, text := range []string{"one", "two", strings.Repeat("x", 300<<10)} {
			d := digest.FromString(text)
			src.blobs[d] = []byte(text)
			inv.Images[0].Attachments = append(inv.Images[0].Attachments,
				bundle.Attachment{Kind: bundle.AttachmentSimple, Key: bundle.SignatureKey(subject, i+1), Digest: d},
				bundle.Attachment{Kind: bundle.AttachmentRelease, Key: bundle.SignatureKey(subject, i+1), Digest: d})
		}
	})
	plan, err := store.NewPlan(t.Context(), src, store.Selection{Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Attachments) != 3 {
		t.Errorf("%d attachments, want 3", len(plan.Attachments))
	}
	records, err := plan.ImageRecords()
	if err != nil {
		t.Fatal(err)
	}
	if want := `"metadata":"{\"signature-sizes\":[19,19]}"`; !strings.Contains(string(records), want) {
		t.Errorf("no %s in\n%s", want, records)
	}
	last := plan.Images[0].Data[len(plan.Images[0].Data)-1]
	if last.Key != "signatures" || string(last.Content) != "\x00simple-signing\none\x00simple-signing\ntwo" || last.Size != 38 {
		t.Errorf("%s: %d bytes, %q", last.Key, last.Size, last.Content)
	}
}
