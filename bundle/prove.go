package bundle

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/internal/jsonbound"
)

// Proof is what Prove has read of an image, each under the digest that names it.
type Proof struct {
	Manifest, Config []byte
	// Index is the manifest list that the reference names, nil where it names none.
	Index []byte
}

// ChainError says which link between an image's reference and its layers is broken.
// It wraps ErrChain and the cause.
type ChainError struct {
	// Link is "reference", "manifest list", "manifest", "configuration" or "inventory".
	Link string
	// Blob is the digest of the blob that is at fault, "" where the inventory's own
	// words about the reference are.
	Blob digest.Digest
	Err  error
}

// Error implements error.
func (e *ChainError) Error() string {
	if e.Blob == "" {
		return fmt.Sprintf("%s: %v", e.Link, e.Err)
	}
	return fmt.Sprintf("%s %s: %v", e.Link, e.Blob, e.Err)
}

// Unwrap returns ErrChain and the cause.
func (e *ChainError) Unwrap() []error { return []error{ErrChain, e.Err} }

// Prove proves an image from its reference to its diff IDs, by the blobs that read
// returns; nothing of img is believed. When it returns a Proof, then
//
//   - Ref is by the digest of the list Index, or where there is none of the manifest
//     Digest, and every further name is a tag or by one of these digests;
//   - the list is one, and names the manifest itself, not through another list, with
//     its media type;
//   - the manifest is of MediaType, and of nothing else, and names the configuration
//     and the layers, which are img.Config and img.Layers one by one: digest, size and
//     media type;
//   - the configuration is one of an image, and has the diff IDs of img.Layers, one for
//     each layer in their order, and img.Platform, where that is said. Nothing is read
//     of the configuration of an Artifact, whose digest the manifest has; Proof has none.
//
// What is left to prove are the bytes of the layers: a plain tar by its DiffID, the
// registry's bytes by their Digest and, expanded, by the DiffID. Names by tag, DiffSize and
// From are claims that no blob proves. The platforms and sizes that a list gives are
// hints: the list is the publisher's, whose reference it is. CheckAttachment proves
// attachments.
//
// read may return any bytes: they are held to the digest that it was called with. It is
// called at most once for each of the three blobs, at most MaxSmallBlob long. Its errors
// are returned as they are; every other error is a *ChainError.
//
// Prove keeps nothing and may be called at the same time from many goroutines.
func (img *Image) Prove(read func(digest.Digest) ([]byte, error)) (*Proof, error) {
	if err := img.checkReferences(); err != nil {
		return nil, &ChainError{Link: "reference", Err: err}
	}
	var p Proof
	for _, link := range []struct {
		name  string
		blob  digest.Digest
		to    *[]byte
		check func() error
	}{
		{"manifest", img.Digest, &p.Manifest, func() error { return img.checkManifest(p.Manifest) }},
		{"manifest list", img.Index, &p.Index, func() error { return img.checkList(p.Index) }},
		{"configuration", img.Config.Digest, &p.Config, func() error { return img.checkConfig(p.Config) }},
	} {
		if link.blob == "" && link.name == "manifest list" || img.Artifact && link.name == "configuration" {
			continue
		}
		err := CheckDigest(link.blob)
		if err == nil {
			if *link.to, err = read(link.blob); err != nil {
				return nil, err
			}
			err = heldTo(*link.to, link.blob)
		}
		if err == nil {
			err = link.check()
		}
		if err != nil {
			return nil, &ChainError{Link: link.name, Blob: link.blob, Err: err}
		}
	}
	return &p, nil
}

// Named returns the digest that a name of the image stands for: the one that is part of
// it, or for a tag the list's, and the manifest's where there is no list.
func (img *Image) Named(name string) digest.Digest {
	if _, sum, ok := strings.Cut(name, "@"); ok {
		return digest.Digest(sum)
	}
	if img.Index != "" {
		return img.Index
	}
	return img.Digest
}

func heldTo(data []byte, d digest.Digest) error {
	if len(data) > MaxSmallBlob {
		return fmt.Errorf("%d bytes, more than %d", len(data), MaxSmallBlob)
	}
	if got := digest.FromBytes(data); got != d {
		return fmt.Errorf("its digest is %s", got)
	}
	return nil
}

// checkManifest holds a manifest to what img says of it.
func (img *Image) checkManifest(data []byte) error {
	parse := parseManifest
	if img.Artifact {
		parse = parseArtifact
	}
	m, err := parse(data, img.MediaType)
	if err != nil {
		return err
	}
	switch {
	case m.Config.Digest != img.Config.Digest || m.Config.Size != img.Config.Size:
		return fmt.Errorf("it names the configuration %s of %d bytes, the inventory %s of %d bytes",
			m.Config.Digest, m.Config.Size, img.Config.Digest, img.Config.Size)
	case len(m.Layers) != len(img.Layers):
		return fmt.Errorf("it has %d layers, the inventory %d", len(m.Layers), len(img.Layers))
	}
	for i, l := range m.Layers {
		claim := img.Layers[i]
		if l.Digest != claim.Digest || l.Size != claim.Size || l.MediaType != claim.MediaType {
			return fmt.Errorf("its layer %d is %s of %d bytes and type %q, the inventory's %s of %d bytes and type %q",
				i, l.Digest, l.Size, l.MediaType, claim.Digest, claim.Size, claim.MediaType)
		}
		if img.Artifact {
			if err := checkArtifactLayer(claim); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkConfigType refuses a configuration whose media type is not that of an image's.
func checkConfigType(configType, manifestType string) error {
	allowed := []string{v1.MediaTypeImageConfig}
	if manifestType == MediaTypeDockerManifest {
		allowed = []string{MediaTypeDockerConfig, mediaTypeOldDockerConfig, v1.MediaTypeImageConfig, ""}
	}
	if !slices.Contains(allowed, configType) {
		return fmt.Errorf("%w: its configuration is of media type %q", ErrNotImage, configType)
	}
	return nil
}

// checkConfig holds a configuration to what img says of it.
func (img *Image) checkConfig(data []byte) error {
	if int64(len(data)) != img.Config.Size {
		return fmt.Errorf("it has %d bytes, the manifest says %d", len(data), img.Config.Size)
	}
	c, err := parseConfig(data)
	if err != nil {
		return err
	}
	if len(c.RootFS.DiffIDs) != len(img.Layers) {
		return fmt.Errorf("it has %d diff_ids, the manifest %d layers", len(c.RootFS.DiffIDs), len(img.Layers))
	}
	for i, d := range c.RootFS.DiffIDs {
		if d != img.Layers[i].DiffID {
			return fmt.Errorf("its diff_id %d is %s, the inventory's %s", i, d, img.Layers[i].DiffID)
		}
		if err := CheckDigest(d); err != nil {
			return fmt.Errorf("diff ID: %w", err)
		}
	}
	if p := img.Platform; p != nil && (p.Architecture != c.Architecture || p.OS != c.OS ||
		p.Variant != c.Variant || p.OSVersion != c.OSVersion || len(p.OSFeatures) > 0) {
		return fmt.Errorf("it is for the platform %s, the inventory says %s", platformName(c.platform()), platformName(p))
	}
	return nil
}

// checkList holds a manifest list to img.
func (img *Image) checkList(data []byte) error {
	var list v1.Index
	if err := jsonbound.Unmarshal(data, &list); err != nil {
		return fmt.Errorf("not a manifest list: %w", err)
	}
	if err := onlyFields(data, "manifests"); err != nil {
		return err
	}
	if list.SchemaVersion == 1 || (list.MediaType != "" && !IsIndex(list.MediaType)) {
		return fmt.Errorf("not a manifest list: schema version %d and media type %q", list.SchemaVersion, list.MediaType)
	}
	i := slices.IndexFunc(list.Manifests, func(m v1.Descriptor) bool { return m.Digest == img.Digest })
	if i < 0 {
		return fmt.Errorf("it does not name %s", img.Digest)
	}
	if m := list.Manifests[i]; m.MediaType != "" && m.MediaType != img.MediaType {
		return fmt.Errorf("it names %s as one of media type %q, the inventory says %q", img.Digest, m.MediaType, img.MediaType)
	}
	return nil
}

// onlyFields refuses a document that could be read as one of another kind: of the
// fields that tell kinds apart it may have the allowed ones only.
func onlyFields(data []byte, allowed ...string) error {
	// A struct and no map: names match in any case, as they do for every reader in Go.
	var has struct {
		Config    json.RawMessage `json:"config"`
		FSLayers  json.RawMessage `json:"fsLayers"`
		History   json.RawMessage `json:"history"`
		Layers    json.RawMessage `json:"layers"`
		Manifests json.RawMessage `json:"manifests"`
	}
	if err := jsonbound.Unmarshal(data, &has); err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		raw  json.RawMessage
	}{
		{"config", has.Config}, {"fsLayers", has.FSLayers}, {"history", has.History},
		{"layers", has.Layers}, {"manifests", has.Manifests},
	} {
		if f.raw != nil && string(f.raw) != "null" && !slices.Contains(allowed, f.name) {
			return fmt.Errorf("it has the field %q too: it could be read as a manifest of another kind", f.name)
		}
	}
	return nil
}
