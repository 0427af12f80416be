// Package bundle has the words for what a nodeseal bundle is: its inventory, the
// images in it and the chain from their manifests to their layers. The format is
// described in docs/bundle-format.md. Package archive reads and writes the file;
// beside it are seekable (its frames), filetable, split (parts) and signature.
package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/internal/jsonbound"
)

// LayerForm says in which form a bundle holds its layers.
type LayerForm string

const (
	// Expanded layers are plain tars, stored under their diff ID; but for those that are
	// Layer.Original.
	Expanded LayerForm = "expanded"
	// Original layers are the registry's bytes, stored under the digest that
	// the manifest gives them.
	Original LayerForm = "original"
)

// BlobKind says what a blob of a bundle is.
type BlobKind string

// The kinds of blobs, in the order in which a bundle holds them: the first five
// are small and stand together, sorted by digest.
const (
	KindManifest   BlobKind = "manifest"   // an image manifest, byte for byte as the registry gave it
	KindIndex      BlobKind = "index"      // a manifest list or image index, byte for byte as the registry gave it
	KindConfig     BlobKind = "config"     // an image configuration
	KindReadable   BlobKind = "readable"   // an OCI manifest over expanded layers, for other tools
	KindAttachment BlobKind = "attachment" // a signature's or referrer's manifest, config or payload
	KindFileTable  BlobKind = "filetable"  // the file table of a layer
	KindLayer      BlobKind = "layer"      // a layer, under the digest that LayerBlob returns
	KindArtifact   BlobKind = "artifact"   // a layer of an artifact that no image has, as the registry has it
	KindDelta      BlobKind = "delta"      // what makes a layer out of older ones: see Delta
)

// Small reports whether blobs of the kind are read whole into memory (they are
// bounded by MaxSmallBlob).
func (k BlobKind) Small() bool {
	switch k {
	case KindManifest, KindIndex, KindConfig, KindReadable, KindAttachment:
		return true
	case KindFileTable, KindLayer, KindArtifact, KindDelta:
		return false
	}
	return false
}

const (
	// MaxInventory bounds inventory.json, in bytes.
	MaxInventory = 32 << 20
	// MaxSmallBlob bounds one manifest, index, config or attachment, in bytes.
	MaxSmallBlob = 8 << 20
	// MaxBlob bounds what is said of the size of any blob or layer, in bytes. An
	// inventory has fewer than 2^20 of them: no sum of its sizes reaches 2^63.
	MaxBlob = 1 << 42
	// MaxContent bounds what the blobs of a bundle say together, in bytes.
	MaxContent = 1 << 44
)

// Inventory is inventory.json, the first member of a bundle. Fields that this
// version does not know are not in it; who passes an inventory on keeps its
// bytes (Reader.RawInventory).
type Inventory struct {
	// Format and Requires say who can read it: see SetFormat.
	Format   string    `json:"format"`
	Requires []string  `json:"requires,omitempty"`
	Layers   LayerForm `json:"layers"`
	Release  *Release  `json:"release,omitempty"`
	// Encoder names the library, its version and the settings that made the
	// frames: the same list, images and encoder give the same bytes.
	Encoder string  `json:"encoder"`
	Images  []Image `json:"images"`
	// Blobs are what the bundle holds.
	Blobs []Blob `json:"blobs"`
	// Base is what it builds on, nil where it holds everything itself.
	Base *Base `json:"base,omitempty"`
}

// Release names the OpenShift release that a bundle holds.
type Release struct {
	Version string `json:"version,omitempty"`
	Image   string `json:"image,omitempty"`
}

// Image is one image of a bundle: one reference resolved to one manifest.
type Image struct {
	// Ref is the reference as the cluster asks for it: host/repository@digest,
	// where the digest is the list's where a list is referred to.
	Ref string `json:"ref"`
	// Names are further references that mean this image (tags, the instance's
	// own digest), sorted.
	Names []string `json:"names,omitempty"`
	// Digest is the manifest's, of the platform's instance where Ref names a list.
	Digest    digest.Digest `json:"digest"`
	MediaType string        `json:"mediaType"`
	Platform  *v1.Platform  `json:"platform,omitempty"`
	// Role says what the cluster uses the image for, as RoleOS; "" for a container.
	Role string `json:"role,omitempty"`
	// Original says that a node keeps the registry's own bytes of the layers, beside the
	// unpacked ones, for clients that read blobs by compressed digest. All of them are
	// Layer.Original then.
	Original bool `json:"original,omitempty"`
	// Artifact says that this is an OCI artifact and no container image: a node has it in a
	// store of artifacts, its blobs as the registry has them. Config need not be JSON, and
	// each of the Layers is its blob: Original, with its Digest as its DiffID.
	Artifact bool    `json:"artifact,omitempty"`
	Config   Config  `json:"config"`
	Layers   []Layer `json:"layers"`
	// Index is the digest of the manifest list that Ref names, where it names one.
	Index       digest.Digest `json:"index,omitempty"`
	Attachments []Attachment  `json:"attachments,omitempty"`
	From        []Origin      `json:"from,omitempty"`
}

// RoleOS is the Role of an operating system's image, which rpm-ostree reads from a
// registry, blob by blob. Readers pass on roles that they do not know.
const RoleOS = "operating-system"

// Config is the image configuration that a manifest names.
type Config struct {
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"`
}

// Layer is one layer of an image, base first.
type Layer struct {
	// Digest, Size and MediaType are the manifest's: the registry's bytes.
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"`
	// TrueSize is how long the registry's bytes are where the manifest says it wrongly, else 0.
	TrueSize  int64  `json:"trueSize,omitempty"`
	MediaType string `json:"mediaType"`
	// DiffID is the digest of the plain tar, DiffSize its length in bytes.
	// DiffSize is 0 where it is not known (original layers).
	DiffID   digest.Digest `json:"diffID"`
	DiffSize int64         `json:"diffSize,omitempty"`
	// Original says that a bundle of Expanded layers holds this one as the registry has
	// it, under Digest, because an image that is Original has it.
	Original bool `json:"original,omitempty"`
}

// Blob is one blob of the bundle.
type Blob struct {
	Digest digest.Digest `json:"digest"`
	// Size is the length of the blob in the tar, in bytes.
	Size int64    `json:"size"`
	Kind BlobKind `json:"kind"`
	// Table is the digest of the file table of a layer, in bundles of Expanded layers.
	Table digest.Digest `json:"table,omitempty"`
	// Lost says why a store cannot give a layer back byte for byte, "" where it can:
	// a later bundle does not leave such a layer to its base.
	Lost string `json:"lost,omitempty"`
}

// ErrInventory is wrapped by every error about an inventory that breaks the format.
var ErrInventory = errors.New("inventory is not valid")

// ParseInventory reads an inventory from at most MaxInventory bytes of r and
// checks everything that can be checked without the blobs: format, digests,
// that the names of an image are by its digests and its own, that every blob an image needs is listed once, and that blobs stand in the
// order of the tar. Errors wrap ErrInventory, but for those of r and an
// *UnsupportedError.
func ParseInventory(r io.Reader) (*Inventory, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxInventory+1))
	if err != nil {
		return nil, fmt.Errorf("reading inventory: %w", err)
	}
	if len(data) > MaxInventory {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrInventory, MaxInventory)
	}
	return parseInventory(data)
}

// ParseInventoryBytes is ParseInventory for an inventory that is in memory already.
func ParseInventoryBytes(data []byte) (*Inventory, error) {
	if len(data) > MaxInventory {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrInventory, MaxInventory)
	}
	return parseInventory(data)
}

func parseInventory(data []byte) (*Inventory, error) {
	if err := checkSupported(data); err != nil {
		return nil, err
	}
	var inv Inventory
	if err := jsonbound.Unmarshal(data, &inv); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInventory, err)
	}
	if err := inv.Validate(); err != nil {
		return nil, err
	}
	return &inv, nil
}

// Marshal returns inv as inventory.json holds it: indented JSON with a final
// newline, images sorted by reference and platform, blobs in the tar's order.
// It sorts inv in place.
func (inv *Inventory) Marshal() ([]byte, error) {
	slices.SortFunc(inv.Images, compareImages)
	slices.SortFunc(inv.Blobs, compareBlobs)
	if inv.Base != nil {
		slices.SortFunc(inv.Base.Blobs, compareBlobs)
		slices.SortFunc(inv.Base.Deltas, func(a, b Delta) int { return strings.Compare(a.Layer.String(), b.Layer.String()) })
	}
	data, err := json.MarshalIndent(inv, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encoding inventory: %w", err)
	}
	return append(data, '\n'), nil
}

func compareImages(a, b Image) int {
	if c := strings.Compare(a.Ref, b.Ref); c != 0 {
		return c
	}
	return strings.Compare(a.Digest.String(), b.Digest.String())
}

// blobGroup orders the blobs of a bundle: small ones, file tables, layers.
func blobGroup(k BlobKind) int {
	switch {
	case k.Small():
		return 0
	case k == KindFileTable:
		return 1
	default:
		return 2
	}
}

func compareBlobs(a, b Blob) int {
	if d := blobGroup(a.Kind) - blobGroup(b.Kind); d != 0 {
		return d
	}
	return strings.Compare(a.Digest.String(), b.Digest.String())
}

// Validate checks inv as ParseInventory describes. Errors wrap ErrInventory.
func (inv *Inventory) Validate() error {
	if err := inv.checkFormat(); err != nil {
		return err
	}
	if inv.Layers != Expanded && inv.Layers != Original {
		return fmt.Errorf("%w: layers %q, want %q or %q", ErrInventory, inv.Layers, Expanded, Original)
	}
	if inv.Base != nil {
		if err := inv.validateBase(); err != nil {
			return err
		}
	}
	blobs, err := inv.Whole().validateBlobs()
	if err != nil {
		return err
	}
	for i := range inv.Images {
		if err := inv.validateImage(&inv.Images[i], blobs); err != nil {
			return fmt.Errorf("%w: image %.200q: %w", ErrInventory, inv.Images[i].Ref, err)
		}
		if i > 0 && compareImages(inv.Images[i-1], inv.Images[i]) >= 0 {
			return fmt.Errorf("%w: image %s stands twice or out of order", ErrInventory, inv.Images[i].Ref)
		}
	}
	if _, err := checkNames(inv.Images); err != nil {
		return fmt.Errorf("%w: %w", ErrInventory, err)
	}
	return nil
}

func (inv *Inventory) validateBlobs() (map[digest.Digest]Blob, error) {
	blobs := make(map[digest.Digest]Blob, len(inv.Blobs))
	tables := make(map[digest.Digest]bool)
	var content int64
	for i, b := range inv.Blobs {
		if err := CheckDigest(b.Digest); err != nil {
			return nil, fmt.Errorf("%w: blob: %w", ErrInventory, err)
		}
		switch {
		case b.Size > MaxBlob || b.Size > MaxContent-content:
			return nil, fmt.Errorf("%w: blob %s: %d bytes are more than a bundle holds", ErrInventory, b.Digest, b.Size)
		case !b.Kind.Small() && b.Kind != KindFileTable && b.Kind != KindLayer && b.Kind != KindArtifact:
			return nil, fmt.Errorf("%w: blob %s: kind %q is not known", ErrInventory, b.Digest, b.Kind)
		case b.Size < 0:
			return nil, fmt.Errorf("%w: blob %s: size %d", ErrInventory, b.Digest, b.Size)
		case b.Kind.Small() && b.Size > MaxSmallBlob:
			return nil, fmt.Errorf("%w: blob %s: %s of %d bytes, more than %d", ErrInventory, b.Digest, b.Kind, b.Size, MaxSmallBlob)
		case i > 0 && compareBlobs(inv.Blobs[i-1], b) >= 0:
			return nil, fmt.Errorf("%w: blob %s stands twice or out of order", ErrInventory, b.Digest)
		}
		if _, ok := blobs[b.Digest]; ok {
			return nil, fmt.Errorf("%w: blob %s stands twice", ErrInventory, b.Digest)
		}
		blobs[b.Digest] = b
		content += b.Size
		if b.Kind == KindFileTable {
			tables[b.Digest] = true
		}
	}
	for _, b := range inv.Blobs {
		wantTable := b.Kind == KindLayer && inv.Layers == Expanded
		if wantTable != (b.Table != "") || (wantTable && !tables[b.Table]) {
			return nil, fmt.Errorf("%w: blob %s: file table %q is missing or out of place", ErrInventory, b.Digest, b.Table)
		}
	}
	return blobs, nil
}

func (inv *Inventory) validateImage(img *Image, blobs map[digest.Digest]Blob) error {
	if img.Artifact {
		if err := inv.validateArtifact(img, blobs); err != nil {
			return err
		}
		return inv.validateRest(img, blobs)
	}
	has := func(d digest.Digest, kind BlobKind) error { return hasBlob(blobs, d, kind) }
	if err := has(img.Digest, KindManifest); err != nil {
		return err
	}
	if err := has(img.Config.Digest, KindConfig); err != nil {
		return err
	}
	if img.Index != "" {
		if err := has(img.Index, KindIndex); err != nil {
			return err
		}
	}
	for _, l := range img.Layers {
		for _, d := range []digest.Digest{l.Digest, l.DiffID} {
			if err := CheckDigest(d); err != nil {
				return err
			}
		}
		if min(l.Size, l.DiffSize, l.TrueSize) < 0 || max(l.Size, l.DiffSize, l.TrueSize) > MaxBlob {
			return fmt.Errorf("layer %s: %d bytes, unpacked %d", l.Digest, l.Size, l.DiffSize)
		}
		if img.Original && !l.Original {
			return fmt.Errorf("layer %s of an original image is not held original", l.Digest)
		}
		if err := has(inv.LayerBlob(l), KindLayer); err != nil {
			return err
		}
		if b := blobs[l.Digest]; (l.Original || inv.Layers == Original) && b.Size != l.RegistrySize() {
			return fmt.Errorf("layer %s has %d bytes, its blob %d", l.Digest, l.RegistrySize(), b.Size)
		}
	}
	return inv.validateRest(img, blobs)
}

// validateRest checks what images and artifacts have in common: their names, and what is
// attached to them.
func (inv *Inventory) validateRest(img *Image, blobs map[digest.Digest]Blob) error {
	if err := img.checkReferences(); err != nil {
		return err
	}
	for i := range img.Attachments {
		a := &img.Attachments[i]
		if err := img.validateAttachment(a); err != nil {
			return err
		}
		for _, d := range append([]digest.Digest{a.Digest}, a.Blobs...) {
			if err := hasBlob(blobs, d, KindAttachment); err != nil {
				return err
			}
		}
	}
	return nil
}

// hasBlob reports a blob that neither the bundle holds nor its base.
func hasBlob(blobs map[digest.Digest]Blob, d digest.Digest, kind BlobKind) error {
	if err := CheckDigest(d); err != nil {
		return err
	}
	b, ok := blobs[d]
	switch {
	case !ok:
		return fmt.Errorf("%s %s is not among the blobs", kind, d)
	case b.Kind != kind:
		return fmt.Errorf("%s is a %s, want a %s", d, b.Kind, kind)
	}
	return nil
}
