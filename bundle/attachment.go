package bundle

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/internal/jsonbound"
)

// The kinds of attachments. A reader passes on those that it does not know.
const (
	// AttachmentSigstore is the manifest that a registry has under the tag
	// sha256-<hex>.sig: sigstore signatures, one in each layer.
	AttachmentSigstore = "sigstore"
	// AttachmentReferrer is a manifest with the image as its subject.
	AttachmentReferrer = "referrer"
	// AttachmentRelease is a signature of a release image, an OpenPGP message, as
	// the cluster version operator takes it from a ConfigMap.
	AttachmentRelease = "release-signature"
	// AttachmentSimple is a signature of any image of the same form, as
	// containers/image takes it from a lookaside server.
	AttachmentSimple = "simple-signature"
)

// Attachment is a signature or another referrer of an image.
type Attachment struct {
	Kind string `json:"kind"`
	// Tag is the tag in the image's repository under which the registry serves
	// the manifest (sha256-<hex>.sig), where it has one.
	Tag string `json:"tag,omitempty"`
	// Key is sha256-<hex>-<n> of a signature that is no manifest: of which image,
	// and which one of its signatures.
	Key string `json:"key,omitempty"`
	// Digest is the manifest's, or that of the signature itself.
	Digest    digest.Digest `json:"digest"`
	MediaType string        `json:"mediaType,omitempty"`
	// Blobs are what the attachment's manifest names, in the manifest's order:
	// configuration and layers, each once.
	Blobs []digest.Digest `json:"blobs,omitempty"`
}

// SignatureTag is the tag of the sigstore signatures of the manifest d, "" if
// CheckDigest refuses d.
func SignatureTag(d digest.Digest) string {
	if CheckDigest(d) != nil {
		return ""
	}
	return strings.Replace(d.String(), ":", "-", 1) + ".sig"
}

// SignatureKey is the Key of the n-th signature of the manifest d, from 1 on; "" if
// CheckDigest refuses d, or n is less.
func SignatureKey(d digest.Digest, n int) string {
	if CheckDigest(d) != nil || n < 1 {
		return ""
	}
	return strings.Replace(d.String(), ":", "-", 1) + "-" + strconv.Itoa(n)
}

// Subject returns the digest that Key begins with, "" where there is no key.
func (a *Attachment) Subject() digest.Digest {
	parts := strings.Split(a.Key, "-")
	if len(parts) != 3 {
		return ""
	}
	n, err := strconv.Atoi(parts[2])
	d := digest.NewDigestFromEncoded(digest.Algorithm(parts[0]), parts[1])
	if err != nil || CheckDigest(d) != nil || SignatureKey(d, n) != a.Key {
		return ""
	}
	return d
}

// HasManifest reports whether Digest is that of a manifest, which a registry has.
func (a *Attachment) HasManifest() bool {
	return a.Kind == AttachmentSigstore || a.Kind == AttachmentReferrer
}

// Signs reports whether the attachment is a signature, as far as its kind says.
func (a *Attachment) Signs() bool {
	switch a.Kind {
	case AttachmentSigstore, AttachmentRelease, AttachmentSimple:
		return true
	case AttachmentReferrer:
		return slices.Contains([]string{
			"application/vnd.dev.sigstore.bundle.v0.3+json",
			"application/vnd.dev.cosign.artifact.sig.v1+json",
			"application/vnd.cncf.notary.signature",
		}, a.MediaType)
	}
	return false
}

// Signed reports whether any attachment signs the image. Nothing is verified.
func (img *Image) Signed() bool {
	return slices.ContainsFunc(img.Attachments, func(a Attachment) bool { return a.Signs() })
}

// Subjects are the digests that what is attached to the image can be about: its
// manifest's, and that of the list that Ref names.
func (img *Image) Subjects() []digest.Digest {
	if img.Index == "" {
		return []digest.Digest{img.Digest}
	}
	return []digest.Digest{img.Digest, img.Index}
}

// validateAttachment checks what can be checked without the blobs. The tag of an
// attachment is one that its image's signatures have: it must not stand for
// another image's, nor for an image itself.
func (img *Image) validateAttachment(a *Attachment) error {
	subjects := img.Subjects()
	switch {
	case a.Kind == "":
		return errors.New("attachment without a kind")
	case a.Tag != "" && !slices.ContainsFunc(subjects, func(d digest.Digest) bool { return a.Tag == SignatureTag(d) }):
		return fmt.Errorf("attachment %s: tag %q is not that of a signature of the image", a.Digest, a.Tag)
	case a.Key != "" && !slices.Contains(subjects, a.Subject()):
		return fmt.Errorf("attachment %s: key %q is not that of a signature of the image", a.Digest, a.Key)
	case a.Key != "" && (a.Tag != "" || len(a.Blobs) > 0):
		return fmt.Errorf("attachment %s: a signature that is no manifest has a tag or blobs", a.Digest)
	case a.Kind == AttachmentSigstore && a.Tag == "", (a.Kind == AttachmentRelease || a.Kind == AttachmentSimple) && a.Key == "":
		return fmt.Errorf("attachment %s: a %s without the name that it is found by", a.Digest, a.Kind)
	}
	return nil
}

// DescribeAttachment reads the manifest of an attachment and returns what it is a
// manifest of: MediaType is the artifact's type where it has one, else the
// manifest's own; layers are its blobs' descriptors. The error wraps ErrNotImage
// for anything but an image manifest, and ErrChain for one that is broken.
func DescribeAttachment(data []byte, mediaType string) (a Attachment, blobs []v1.Descriptor, subject digest.Digest, err error) {
	if mediaType != v1.MediaTypeImageManifest && mediaType != MediaTypeDockerManifest {
		return a, nil, "", fmt.Errorf("%w: an attachment of media type %q", ErrNotImage, mediaType)
	}
	var m v1.Manifest
	if err := jsonbound.Unmarshal(data, &m); err != nil {
		return a, nil, "", fmt.Errorf("%w: attachment: %w", ErrChain, err)
	}
	a = Attachment{Digest: digest.FromBytes(data), MediaType: mediaType}
	switch {
	case m.ArtifactType != "":
		a.MediaType = m.ArtifactType
	case m.Config.MediaType != "" && m.Config.MediaType != v1.MediaTypeImageConfig && m.Subject != nil:
		a.MediaType = m.Config.MediaType
	}
	for _, desc := range append([]v1.Descriptor{m.Config}, m.Layers...) {
		if err := CheckDigest(desc.Digest); err != nil {
			return a, nil, "", fmt.Errorf("%w: attachment: %w", ErrChain, err)
		}
		if !slices.Contains(a.Blobs, desc.Digest) {
			a.Blobs = append(a.Blobs, desc.Digest)
			blobs = append(blobs, desc)
		}
	}
	if m.Subject != nil {
		subject = m.Subject.Digest
		if err := CheckDigest(subject); err != nil {
			return a, nil, "", fmt.Errorf("%w: attachment: subject: %w", ErrChain, err)
		}
	}
	return a, blobs, subject, nil
}

// CheckAttachment holds what the inventory says of an attachment to its manifest:
// the blobs, and for a referrer that the image is its subject. What is no manifest,
// as far as is known, is held to its digest only, and that by who reads it. Errors
// wrap ErrChain.
func (img *Image) CheckAttachment(a *Attachment, data []byte) error {
	if !a.HasManifest() {
		return nil
	}
	is, _, subject, err := DescribeAttachment(data, manifestType(data))
	switch {
	case err != nil:
		return fmt.Errorf("%w: attachment %s: %w", ErrChain, a.Digest, err)
	case !slices.Equal(is.Blobs, a.Blobs):
		return fmt.Errorf("%w: attachment %s names other blobs than the inventory says", ErrChain, a.Digest)
	case a.Kind == AttachmentReferrer && !slices.Contains(img.Subjects(), subject):
		return fmt.Errorf("%w: attachment %s has the subject %q, not the image", ErrChain, a.Digest, subject)
	}
	return nil
}

// manifestType is what a manifest says it is; OCI manifests need not say it.
func manifestType(data []byte) string {
	var m struct {
		MediaType string `json:"mediaType"`
	}
	if err := jsonbound.Unmarshal(data, &m); err == nil && m.MediaType != "" {
		return m.MediaType
	}
	return v1.MediaTypeImageManifest
}
