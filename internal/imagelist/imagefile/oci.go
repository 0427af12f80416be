package imagefile

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/jsonbound"
	"github.com/nodeseal/nodeseal/internal/pull"
	"github.com/nodeseal/nodeseal/layout"
)

// maxIndex bounds index.json and manifest.json, in bytes.
const maxIndex = 4 << 20

// nameAnnotation is where containerd, docker and buildx have the whole reference; in the one
// of the specification they have only its tag.
const nameAnnotation = "io.containerd.image.name"

// attachedTag is a tag by which cosign finds what belongs to an image.
var attachedTag = regexp.MustCompile(`^sha256-[0-9a-f]{64}(\.[a-z]+)?$`)

// ociContent is a layout, in a directory or an archive.
type ociContent struct {
	files files
	also  []attached
	kinds map[digest.Digest]kind
}

// kind is what a manifest says of itself: whether it is an artifact, and to what it belongs.
type kind struct {
	subject         digest.Digest
	artifact, index bool
}

// openOCI reads index.json.
func openOCI(f files) (content, []image, error) {
	data, err := readFile(f, v1.ImageIndexFile, maxIndex)
	if err != nil {
		return nil, nil, missing(err)
	}
	index, err := layout.ParseIndex(bytes.NewReader(data))
	if err != nil {
		return nil, nil, damaged("%s: %w", v1.ImageIndexFile, err)
	}
	c := &ociContent{files: f, kinds: make(map[digest.Digest]kind)}
	var images []image
	byDigest := make(map[digest.Digest]int)
	for _, desc := range index.Manifests {
		called := nameOf(desc)
		k, err := c.kind(desc.Digest)
		if err != nil {
			return nil, nil, missing(err)
		}
		if k.artifact || desc.ArtifactType != "" && !k.index || attachedTag.MatchString(tagOf(called)) {
			c.also = append(c.also, attached{desc, k.subject, tagOf(called)})
			continue
		}
		i, ok := byDigest[desc.Digest]
		if !ok {
			i = len(images)
			byDigest[desc.Digest] = i
			images = append(images, image{digest: desc.Digest})
		}
		if e, err := imagelist.NewEntry(called); err == nil {
			images[i].names = append(images[i].names, e)
		} else {
			images[i].called = called
		}
	}
	return c, images, nil
}

// missing says that what a file lacks is damage.
func missing(err error) error {
	if err != nil && isAbsent(err) {
		return damaged("%w", err)
	}
	return err
}

// nameOf is what an index calls an image.
func nameOf(desc v1.Descriptor) string {
	if name := desc.Annotations[nameAnnotation]; name != "" {
		return name
	}
	return desc.Annotations[v1.AnnotationRefName]
}

// tagOf is the tag of a reference, or all of what is only a tag.
func tagOf(called string) string { return called[strings.LastIndex(called, ":")+1:] }

// kind reads the manifest of an entry, once: an index can name one very often. A manifest that is
// no image is an artifact: only images have names that nodes ask for.
func (c *ociContent) kind(d digest.Digest) (kind, error) {
	if k, ok := c.kinds[d]; ok {
		return k, nil
	}
	m, err := c.manifest(d)
	if err != nil {
		return kind{}, err
	}
	k := kind{index: bundle.IsIndex(m.MediaType)}
	if !k.index {
		var parsed struct {
			ArtifactType string         `json:"artifactType"`
			Subject      *v1.Descriptor `json:"subject"`
		}
		if err := jsonbound.Unmarshal(m.Bytes, &parsed); err != nil {
			return kind{}, damaged("manifest %s: %w", d, err)
		}
		if parsed.Subject != nil {
			k.subject = parsed.Subject.Digest
		}
		k.artifact = k.subject != "" || parsed.ArtifactType != ""
	}
	c.kinds[d] = k
	return k, nil
}

// manifest implements content.
func (c *ociContent) manifest(d digest.Digest) (pull.Manifest, error) {
	if err := layout.CheckDigest(d); err != nil {
		return pull.Manifest{}, damaged("%w", err)
	}
	data, err := readFile(c.files, layout.BlobPath(d), bundle.MaxSmallBlob)
	if err != nil {
		return pull.Manifest{}, err
	}
	if digest.FromBytes(data) != d {
		return pull.Manifest{}, damaged("manifest %s has other bytes than its digest says", d)
	}
	return pull.Manifest{Digest: d, MediaType: mediaType(data), Bytes: data}, nil
}

// mediaType is what a manifest says it is. OCI manifests need not say it.
func mediaType(data []byte) string {
	var m struct {
		MediaType string `json:"mediaType"`
		Manifests []struct {
			Digest digest.Digest `json:"digest"`
		} `json:"manifests"`
	}
	switch err := jsonbound.Unmarshal(data, &m); {
	case err == nil && m.MediaType != "":
		return m.MediaType
	case err == nil && m.Manifests != nil:
		return v1.MediaTypeImageIndex
	}
	return v1.MediaTypeImageManifest
}

// blob implements content.
func (c *ociContent) blob(_ context.Context, d digest.Digest) (io.ReadCloser, error) {
	if layout.CheckDigest(d) != nil {
		return nil, fmt.Errorf("%w: %q", errAbsent, d)
	}
	return c.files.open(layout.BlobPath(d))
}

// attached implements content.
func (c *ociContent) attached() []attached { return c.also }
