package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
)

const (
	// ArtifactsDir is a store of OCI artifacts within a store, as libartifact, the library of
	// CRI-O and podman, opens it: an OCI layout with links to blobs that the store keeps. It
	// is there if the store has artifacts.
	ArtifactsDir   = "artifacts"
	artifactsIndex = ArtifactsDir + "/" + v1.ImageIndexFile
	artifactsBlobs = ArtifactsDir + "/blobs/sha256"
	// artifactsLock is opened for writing by CRI-O 1.35 to 1.37, which leave a store out, with
	// a warning, where they cannot: the file is a link out of what is sealed.
	artifactsLock = ArtifactsDir + "/index.lock"
	// ArtifactsLockTarget is where that link leads to. Readers create it.
	ArtifactsLockTarget = "/run/nodeseal-artifacts.lock"
)

// Artifact is an image of the inventory that is no container image.
type Artifact struct {
	*bundle.Image
	// ManifestSize is the length of its manifest.
	ManifestSize int64
}

// Has reports whether one of the artifact's blobs has the digest encoded.
func (a Artifact) Has(encoded string) bool {
	return a.Digest.Encoded() == encoded || a.Config.Digest.Encoded() == encoded ||
		slices.ContainsFunc(a.Layers, func(l bundle.Layer) bool { return l.Digest.Encoded() == encoded })
}

// addArtifact adds an artifact, whose manifest is proven: its small blobs are kept as those of
// attachments are, its layers as the registry has them.
func (p *planner) addArtifact(ctx context.Context, src Metadata, img *bundle.Image, manifest []byte) error {
	for i := range img.Attachments {
		a := &img.Attachments[i]
		if _, err := ProveAttachment(ctx, src, img, a); err != nil {
			return err
		}
		p.plan.Attachments = append(append(p.plan.Attachments, a.Digest), a.Blobs...)
	}
	p.plan.Attachments = append(p.plan.Attachments, img.Digest, img.Config.Digest)
	if img.Index != "" {
		p.plan.Attachments = append(p.plan.Attachments, img.Index)
	}
	p.plan.Artifacts = append(p.plan.Artifacts, Artifact{Image: img, ManifestSize: int64(len(manifest))})
	return p.addOriginals(img)
}

// addArtifact says where the store has the small blobs of an artifact.
func (s *Stored) addArtifact(img *bundle.Image) {
	for _, d := range []digest.Digest{img.Digest, img.Config.Digest, img.Index} {
		if d != "" {
			s.paths[d] = path.Join(attachmentsDir, d.Encoded())
		}
	}
	s.addAttachments(img)
}

// readArtifacts reads the names of the store's artifacts from its inventory: its index has only
// those that CRI-O takes. An inventory that cannot be read names none, and verify says what is
// wrong with it.
func (s *Store) readArtifacts() {
	raw, err := readBounded(s.fsys, InventoryFile, bundle.MaxInventory)
	s.own = !errors.Is(err, fs.ErrNotExist)
	if err != nil || !bundle.RequiresFeature(raw, bundle.FeatureArtifacts) {
		return
	}
	inv, err := bundle.ParseInventoryBytes(raw)
	if err != nil {
		return
	}
	for i := range inv.Images {
		img := &inv.Images[i]
		if !img.Artifact || !s.keeps(img) {
			continue
		}
		for _, name := range append([]string{img.Ref}, img.Names...) {
			s.Artifacts = append(s.Artifacts, Reference{Name: name, Digest: img.Digest})
		}
	}
	slices.SortFunc(s.Artifacts, func(a, b Reference) int { return strings.Compare(a.Name, b.Name) })
}

// keeps reports whether the store has the manifest of an artifact, and so the artifact: the
// inventory has those of other platforms, too.
func (s *Store) keeps(img *bundle.Image) bool {
	_, err := fs.Stat(s.fsys, path.Join(attachmentsDir, img.Digest.Encoded()))
	return !errors.Is(err, fs.ErrNotExist)
}

// CountArtifacts counts the artifacts, whatever names they have.
func (s *Store) CountArtifacts() int {
	seen := make(map[digest.Digest]bool)
	for _, r := range s.Artifacts {
		seen[r.Digest] = true
	}
	return len(seen)
}

// UnreadableArtifacts returns the names under which no node finds an artifact of the store
// (bundle.ReadableArtifact).
func (s *Store) UnreadableArtifacts() []string {
	var out []string
	for _, r := range s.Artifacts {
		if !bundle.ReadableArtifact(r.Name) {
			out = append(out, r.Name)
		}
	}
	return out
}

// UnreadableArtifacts are those names of the artifacts under which no node finds them.
func (p *Plan) UnreadableArtifacts() []string {
	var out []string
	for _, a := range p.Artifacts {
		out = append(out, a.UnreadableNames()...)
	}
	return out
}

// artifactFiles are the files of ArtifactsDir, none if there are no artifacts.
func (p *Plan) artifactFiles() ([]File, error) {
	if len(p.Artifacts) == 0 {
		return nil, nil
	}
	index := v1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex,
		Manifests: []v1.Descriptor{},
	}
	links := make(map[digest.Digest]string) // of blobs
	for _, img := range p.Artifacts {
		links[img.Digest] = attachmentsDir
		links[img.Config.Digest] = attachmentsDir
		for _, l := range img.Layers {
			if _, small := links[l.Digest]; !small {
				links[l.Digest] = OriginalsDir
			}
		}
		for _, name := range append([]string{img.Ref}, img.Names...) {
			if !bundle.ReadableArtifact(name) {
				continue
			}
			index.Manifests = append(index.Manifests, v1.Descriptor{
				MediaType: img.MediaType, Digest: img.Digest, Size: img.ManifestSize,
				Annotations: map[string]string{v1.AnnotationRefName: name},
			})
		}
	}
	data, err := json.MarshalIndent(index, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encoding the index of artifacts: %w", err)
	}
	layout, err := json.Marshal(v1.ImageLayout{Version: v1.ImageLayoutVersion})
	if err != nil {
		return nil, fmt.Errorf("encoding the layout of artifacts: %w", err)
	}
	files := []File{
		{Path: artifactsIndex, Mode: metadataPublic, Content: append(data, '\n')},
		{Path: artifactsLock, Link: ArtifactsLockTarget},
		{Path: path.Join(ArtifactsDir, v1.ImageLayoutFile), Mode: metadataPublic, Content: layout},
	}
	up := strings.Repeat("../", strings.Count(artifactsBlobs, "/")+1)
	for d, dir := range links {
		name := path.Join(artifactsBlobs, d.Encoded())
		files = append(files, File{Path: name, Link: up + path.Join(dir, d.Encoded())})
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files, nil
}
