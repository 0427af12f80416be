package imagefile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/docker/reference"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/compression"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/jsonbound"
	"github.com/nodeseal/nodeseal/internal/pull"
	"github.com/nodeseal/nodeseal/layout"
)

const (
	dockerIndex = "manifest.json"
	// dockerLayer is what containers/image calls layers of such archives. They are plain:
	// readers look at the bytes.
	dockerLayer = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

// dockerItem is an image in manifest.json.
type dockerItem struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// dockerContent is a docker archive. It has no manifests: those here are what podman load
// makes of it, so that the image has the same digest.
type dockerContent struct {
	tar       *tarFiles
	manifests map[digest.Digest][]byte
	configs   map[digest.Digest]string     // where they are: each may have 8 MiB
	images    map[string]digest.Digest     // by the name of the configuration
	layers    map[digest.Digest]plainLayer // by diff ID
}

// plainLayer is a layer, which may be compressed in the archive.
type plainLayer struct {
	name string
	size int64 // of the plain tar
}

func openDocker(ctx context.Context, t *tarFiles) (content, []image, error) {
	data, err := readFile(t, dockerIndex, maxIndex)
	if err != nil {
		return nil, nil, missing(err)
	}
	var items []dockerItem
	if err := jsonbound.Unmarshal(data, &items); err != nil {
		return nil, nil, damaged("%s: %w", dockerIndex, err)
	}
	c := &dockerContent{
		tar: t, manifests: make(map[digest.Digest][]byte), configs: make(map[digest.Digest]string),
		images: make(map[string]digest.Digest), layers: make(map[digest.Digest]plainLayer),
	}
	images := make([]image, 0, len(items))
	byDigest := make(map[digest.Digest]int)
	if len(items) > maxMembers {
		return nil, nil, damaged("%s names more than %d images", dockerIndex, maxMembers)
	}
	for _, item := range items {
		if ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		d, err := c.add(ctx, item)
		if err != nil {
			return nil, nil, missing(err)
		}
		i, ok := byDigest[d]
		if !ok {
			i = len(images)
			byDigest[d] = i
			images = append(images, image{digest: d})
		}
		img := &images[i]
		for _, tag := range item.RepoTags {
			if e, err := entry(tag); err == nil {
				img.names = append(img.names, e)
			} else {
				img.called = tag
			}
		}
	}
	return c, images, nil
}

// entry is the one of a tag, which is a name as docker shows it: busybox:latest is of
// Docker Hub.
func entry(tag string) (imagelist.Entry, error) {
	named, err := reference.ParseNormalizedNamed(tag)
	if err != nil {
		return imagelist.Entry{}, err
	}
	return imagelist.NewEntry(named.String())
}

// add makes the manifest of an image and returns its digest. A configuration that is named again
// is of the same image, and is not read again: a short file can name one very often.
func (c *dockerContent) add(ctx context.Context, item dockerItem) (digest.Digest, error) {
	if d, ok := c.images[item.Config]; ok {
		return d, nil
	}
	config, err := readFile(c.tar, item.Config, bundle.MaxSmallBlob)
	if err != nil {
		return "", err
	}
	var parsed struct {
		RootFS struct {
			DiffIDs []digest.Digest `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := jsonbound.Unmarshal(config, &parsed); err != nil {
		return "", damaged("%s: %w", item.Config, err)
	}
	if len(parsed.RootFS.DiffIDs) != len(item.Layers) {
		return "", damaged("%s names %d layers, %s has %d", dockerIndex, len(item.Layers), item.Config, len(parsed.RootFS.DiffIDs))
	}
	m := dockerManifest{SchemaVersion: 2, MediaType: bundle.MediaTypeDockerManifest, Layers: []dockerDescriptor{}}
	m.Config = dockerDescriptor{bundle.MediaTypeDockerConfig, int64(len(config)), digest.FromBytes(config)}
	for i, diffID := range parsed.RootFS.DiffIDs {
		size, err := c.layer(ctx, diffID, item.Layers[i])
		if err != nil {
			return "", err
		}
		m.Layers = append(m.Layers, dockerDescriptor{dockerLayer, size, diffID})
	}
	data, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("manifest: %w", err)
	}
	d := digest.FromBytes(data)
	c.manifests[d], c.configs[m.Config.Digest], c.images[item.Config] = data, item.Config, d
	return d, nil
}

// dockerManifest and dockerDescriptor have the fields in containers/image's order.
type dockerManifest struct {
	SchemaVersion int                `json:"schemaVersion"`
	MediaType     string             `json:"mediaType"`
	Config        dockerDescriptor   `json:"config"`
	Layers        []dockerDescriptor `json:"layers"`
}

type dockerDescriptor struct {
	MediaType string        `json:"mediaType"`
	Size      int64         `json:"size"`
	Digest    digest.Digest `json:"digest"`
}

// layer notes where a layer is, and returns the length of its plain tar: of a compressed one,
// which only some builders write, by reading it.
func (c *dockerContent) layer(ctx context.Context, diffID digest.Digest, name string) (size int64, err error) {
	if err := layout.CheckDigest(diffID); err != nil {
		return 0, damaged("layer %s: %w", name, err)
	}
	if l, ok := c.layers[diffID]; ok {
		return l.size, nil
	}
	m, ok := c.tar.find(name)
	if !ok {
		return 0, fmt.Errorf("%w: layer %s", errAbsent, name)
	}
	head := make([]byte, min(m.size, 8))
	if _, err := c.tar.file.ReadAt(head, m.offset); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	size = m.size
	if compression.Detect(head) != compression.None {
		r, err := c.plain(ctx, name)
		if err != nil {
			return 0, err
		}
		if size, err = io.Copy(io.Discard, r); err != nil {
			return 0, errors.Join(damaged("layer %s: %w", name, err), r.Close())
		}
		if err := r.Close(); err != nil {
			return 0, err
		}
	}
	c.layers[diffID] = plainLayer{name, size}
	return size, nil
}

// plain opens the plain tar of a layer.
func (c *dockerContent) plain(ctx context.Context, name string) (io.ReadCloser, error) {
	in, err := c.tar.open(name)
	if err != nil {
		return nil, err
	}
	r, err := compression.NewReader(ctx, in)
	if err != nil {
		if ctx.Err() == nil {
			err = damaged("layer %s: %w", name, err)
		}
		return nil, errors.Join(err, in.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{r, closers{r, in}}, nil
}

type closers []io.Closer

// Close implements io.Closer.
func (c closers) Close() error {
	var errs []error
	for _, one := range c {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}

// manifest implements content.
func (c *dockerContent) manifest(d digest.Digest) (pull.Manifest, error) {
	data, ok := c.manifests[d]
	if !ok {
		return pull.Manifest{}, fmt.Errorf("%w: manifest %s", errAbsent, d)
	}
	return pull.Manifest{Digest: d, MediaType: bundle.MediaTypeDockerManifest, Bytes: data}, nil
}

// blob implements content.
func (c *dockerContent) blob(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	if name, ok := c.configs[d]; ok {
		return c.tar.open(name)
	}
	if l, ok := c.layers[d]; ok {
		return c.plain(ctx, l.name)
	}
	return nil, fmt.Errorf("%w: %s", errAbsent, d)
}

// attached implements content.
func (c *dockerContent) attached() []attached { return nil }
