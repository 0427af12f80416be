package bundle_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/signtest"
)

// withAttachment adds an attachment, and its blobs to the bundle.
func withAttachment(inv *bundle.Inventory, a bundle.Attachment) {
	inv.Images[0].Attachments = append(inv.Images[0].Attachments, a)
	for _, d := range append([]digest.Digest{a.Digest}, a.Blobs...) {
		inv.Blobs = append(inv.Blobs, bundle.Blob{Digest: d, Size: 1, Kind: bundle.KindAttachment})
	}
}

// TestAttachmentNames: an attachment is found by names that belong to its image,
// and by no others: a tag of it must not hide an image.
func TestAttachmentNames(t *testing.T) {
	t.Parallel()
	image, other := digest.FromString("m"), digest.FromString("other")
	sig, payload := digest.FromString("sig"), digest.FromString("payload")
	for name, tt := range map[string]struct {
		a  bundle.Attachment
		ok bool
	}{
		"a signature":               {bundle.Attachment{Kind: "sigstore", Tag: bundle.SignatureTag(image), Digest: sig, Blobs: []digest.Digest{payload}}, true},
		"a referrer":                {bundle.Attachment{Kind: "referrer", Digest: sig}, true},
		"a release's":               {bundle.Attachment{Kind: "release-signature", Key: bundle.SignatureKey(image, 1), Digest: sig}, true},
		"a simple one":              {bundle.Attachment{Kind: "simple-signature", Key: bundle.SignatureKey(image, 12), Digest: sig}, true},
		"a kind of later days":      {bundle.Attachment{Kind: "poem", Digest: sig}, true},
		"another image's tag":       {bundle.Attachment{Kind: "sigstore", Tag: bundle.SignatureTag(other), Digest: sig}, false},
		"an image's tag":            {bundle.Attachment{Kind: "sigstore", Tag: "latest", Digest: sig}, false},
		"an image's tag, poem":      {bundle.Attachment{Kind: "poem", Tag: "latest", Digest: sig}, false},
		"a signature with no tag":   {bundle.Attachment{Kind: "sigstore", Digest: sig}, false},
		"a release's with no key":   {bundle.Attachment{Kind: "release-signature", Digest: sig}, false},
		"another image's key":       {bundle.Attachment{Kind: "release-signature", Key: bundle.SignatureKey(other, 1), Digest: sig}, false},
		"a key of a sort":           {bundle.Attachment{Kind: "release-signature", Key: bundle.SignatureKey(image, 1) + "/../x", Digest: sig}, false},
		"a key with a sign":         {bundle.Attachment{Kind: "simple-signature", Key: bundle.SignatureKey(image, 1)[:len(bundle.SignatureKey(image, 1))-1] + "+1", Digest: sig}, false},
		"a key, and blobs":          {bundle.Attachment{Kind: "simple-signature", Key: bundle.SignatureKey(image, 1), Digest: sig, Blobs: []digest.Digest{payload}}, false},
		"no kind":                   {bundle.Attachment{Digest: sig}, false},
		"no digest":                 {bundle.Attachment{Kind: "referrer", Digest: "sha256:../x"}, false},
		"a blob that is no content": {bundle.Attachment{Kind: "referrer", Digest: sig, Blobs: []digest.Digest{"x"}}, false},
	} {
		data := inventoryBytes(t, func(inv *bundle.Inventory) { withAttachment(inv, tt.a) })
		if _, err := bundle.ParseInventory(bytes.NewReader(data)); tt.ok != (err == nil) || (err != nil && !errors.Is(err, bundle.ErrInventory)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	missing := inventoryBytes(t, func(inv *bundle.Inventory) {
		withAttachment(inv, bundle.Attachment{Kind: "referrer", Digest: sig})
		inv.Images[0].Attachments[0].Blobs = []digest.Digest{payload}
	})
	if _, err := bundle.ParseInventory(bytes.NewReader(missing)); !errors.Is(err, bundle.ErrInventory) {
		t.Errorf("a blob that is not there: %v", err)
	}
}

// TestCheckAttachment: the inventory and the manifest must agree.
func TestCheckAttachment(t *testing.T) {
	t.Parallel()
	img := &bundle.Image{Digest: digest.FromString("m"), Index: digest.FromString("list")}
	key, _ := signtest.Key(t)
	sig := signtest.Sigstore(t, key, "quay.io/a/b", img.Digest)
	note := signtest.Referrer(t, "text/note", img.Index, "hello")
	foreign := signtest.Referrer(t, "text/note", digest.FromString("x"), "hello")
	blobs := func(a signtest.Attachment) (out []digest.Digest) {
		for _, b := range a.Blobs {
			out = append(out, digest.FromBytes(b))
		}
		return out
	}
	for name, tt := range map[string]struct {
		a    bundle.Attachment
		data []byte
		ok   bool
	}{
		"signature":       {bundle.Attachment{Kind: "sigstore", Blobs: blobs(sig)}, sig.Manifest, true},
		"referrer":        {bundle.Attachment{Kind: "referrer", Blobs: blobs(note)}, note.Manifest, true},
		"release":         {bundle.Attachment{Kind: "release-signature"}, []byte{0x90}, true},
		"fewer blobs":     {bundle.Attachment{Kind: "sigstore", Blobs: blobs(sig)[1:]}, sig.Manifest, false},
		"other blobs":     {bundle.Attachment{Kind: "sigstore", Blobs: blobs(note)}, sig.Manifest, false},
		"another subject": {bundle.Attachment{Kind: "referrer", Blobs: blobs(foreign)}, foreign.Manifest, false},
		"no manifest":     {bundle.Attachment{Kind: "sigstore"}, []byte{0x90}, false},
		"a list":          {bundle.Attachment{Kind: "referrer"}, []byte(`{"mediaType":"application/vnd.oci.image.index.v1+json"}`), false},
	} {
		if err := img.CheckAttachment(&tt.a, tt.data); tt.ok != (err == nil) || (err != nil && !errors.Is(err, bundle.ErrChain)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if a, _, _, err := bundle.DescribeAttachment(note.Manifest, "application/vnd.oci.image.manifest.v1+json"); err != nil || a.MediaType != "text/note" {
		t.Errorf("a note: %q, %v", a.MediaType, err)
	}
}
