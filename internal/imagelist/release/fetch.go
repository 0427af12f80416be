package release

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/compression"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/imagelist/objects"
	"github.com/nodeseal/nodeseal/internal/jsonbound"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
	"github.com/nodeseal/nodeseal/internal/pull"
)

// The files of a release image, all in its last layer.
const (
	manifestsDir   = "release-manifests"
	referencesFile = manifestsDir + "/image-references"
	metadataFile   = manifestsDir + "/release-metadata"
	bootImagesFile = manifestsDir + "/0000_50_installer_coreos-bootimages.yaml"
)

// maxLayer bounds the last layer of a release image, in bytes of the plain tar.
// A real one has some 30 MiB.
const maxLayer = 1 << 30

// ErrNotRelease is wrapped by errors about an image that is no release image.
var ErrNotRelease = errors.New("not a release image")

// Source is where a release image is read: a registry client.
type Source interface {
	// Manifest fetches the manifest, or list of manifests, that ref names, and
	// verifies it against ref's digest.
	Manifest(ctx context.Context, ref string) (pull.Manifest, error)
	// Blob opens a blob of ref's repository from offset on. What it reads is not
	// verified.
	Blob(ctx context.Context, ref string, d digest.Digest, size, offset int64) (io.ReadCloser, error)
}

// Fetch reads the release that ref names. Where that is a list, the instance of
// platform (os/arch) is read: the payload of a multi-architecture release is
// the same in each. Everything is verified: manifest, config and layer by their
// digests. Errors wrap ErrNotRelease, ErrReferences or ErrMetadata where the
// image is not what it should be, and are src's otherwise.
func Fetch(ctx context.Context, src Source, ref, platform string) (*Payload, error) {
	ref, err := imagelist.Normalize(ref)
	if err != nil {
		return nil, err
	}
	m, err := src.Manifest(ctx, ref)
	if err != nil {
		return nil, err
	}
	name, _ := imagelist.Split(ref)
	repo := imagelist.Repository(name)
	p := &Payload{Image: repo + "@" + m.Digest.String()}
	if p.Image != ref && name != repo {
		p.Tag = name
	}
	layer, err := lastLayer(ctx, src, repo, m, platform)
	if err != nil {
		return nil, fmt.Errorf("release %s: %w", ref, err)
	}
	blob, err := src.Blob(ctx, p.Image, layer.Digest, layer.Size, 0)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	verifier := layer.Digest.Verifier()
	in := io.TeeReader(io.LimitReader(blob, layer.Size), verifier)
	files, err := readLayer(ctx, in)
	if err == nil {
		_, err = io.Copy(io.Discard, in)
	}
	if err != nil {
		return nil, fmt.Errorf("release %s: layer %s: %w", ref, layer.Digest, err)
	}
	if !verifier.Verified() {
		return nil, fmt.Errorf("release %s: layer %s: %w", ref, layer.Digest, pull.ErrDigest)
	}
	if err := p.parse(files); err != nil {
		return nil, fmt.Errorf("release %s: %w", ref, err)
	}
	return p, nil
}

// FromLayer reads a release out of the last layer of its image, compressed or not; Image and Tag are
// empty. It reads r to its end and verifies nothing: r does. Errors wrap ErrNotRelease, ErrReferences
// or ErrMetadata, or are r's.
func FromLayer(ctx context.Context, r io.Reader) (*Payload, error) {
	files, err := readLayer(ctx, r)
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	if err != nil {
		return nil, err
	}
	p := new(Payload)
	if err := p.parse(files); err != nil {
		return nil, err
	}
	return p, nil
}

// lastLayer finds the layer that holds the manifests, through the instance of
// platform where m is a list.
func lastLayer(ctx context.Context, src Source, repo string, m pull.Manifest, platform string) (v1.Descriptor, error) {
	if bundle.IsIndex(m.MediaType) {
		var index v1.Index
		if err := jsonbound.Unmarshal(m.Bytes, &index); err != nil {
			return v1.Descriptor{}, fmt.Errorf("list %s: %w", m.Digest, err)
		}
		i := instance(index.Manifests, platform)
		if i < 0 {
			return v1.Descriptor{}, fmt.Errorf("list %s: no instance for %s", m.Digest, platform)
		}
		var err error
		if m, err = src.Manifest(ctx, repo+"@"+index.Manifests[i].Digest.String()); err != nil {
			return v1.Descriptor{}, err
		}
	}
	var image v1.Manifest
	if err := jsonbound.Unmarshal(m.Bytes, &image); err != nil {
		return v1.Descriptor{}, fmt.Errorf("manifest %s: %w", m.Digest, err)
	}
	if len(image.Layers) == 0 {
		return v1.Descriptor{}, fmt.Errorf("%w: %s has no layers", ErrNotRelease, m.Digest)
	}
	layer := image.Layers[len(image.Layers)-1]
	if err := layer.Digest.Validate(); err != nil || layer.Size < 0 {
		return v1.Descriptor{}, fmt.Errorf("%w: layer %q of %d bytes", ErrNotRelease, layer.Digest, layer.Size)
	}
	return layer, nil
}

func instance(list []v1.Descriptor, platform string) int {
	for i, d := range list {
		if d.Platform != nil && d.Platform.OS+"/"+d.Platform.Architecture == platform {
			return i
		}
	}
	return -1
}

// readLayer takes the files of interest out of a layer's bytes, whatever their
// compression, and reads the tar to its end.
func readLayer(ctx context.Context, r io.Reader) (map[string]string, error) {
	plain, err := compression.NewReader(ctx, r)
	if err != nil {
		return nil, err
	}
	defer plain.Close() //nolint:errcheck // of memory alone
	files := make(map[string]string)
	bounded := &io.LimitedReader{R: plain, N: maxLayer}
	tr := tar.NewReader(bounded)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			if bounded.N <= 0 {
				return nil, fmt.Errorf("%w: layer of more than %d bytes", ErrNotRelease, maxLayer)
			}
			return nil, fmt.Errorf("reading tar: %w", err)
		}
		name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		if h.Typeflag != tar.TypeReg || (name != referencesFile && name != metadataFile && name != bootImagesFile) {
			continue
		}
		if h.Size > MaxFile {
			return nil, fmt.Errorf("%w: %s has %d bytes", ErrNotRelease, name, h.Size)
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		files[name] = string(content)
	}
}

// parse reads the files of the layer.
func (p *Payload) parse(files map[string]string) error {
	text, ok := files[referencesFile]
	if !ok {
		return fmt.Errorf("%w: no %s in the last layer", ErrNotRelease, referencesFile)
	}
	refs, err := ParseReferences(strings.NewReader(text))
	if err != nil {
		return err
	}
	p.Version, p.Components = refs.Version, refs.Components
	if text, ok := files[metadataFile]; ok {
		meta, err := ParseMetadata(strings.NewReader(text))
		if err != nil {
			return err
		}
		p.Version = meta.Version
	}
	if text, ok := files[bootImagesFile]; ok {
		return p.parseBootImages(text)
	}
	return nil
}

// parseBootImages reads the ConfigMap with the CoreOS stream's metadata.
func (p *Payload) parseBootImages(text string) error {
	return kubeobject.Read(strings.NewReader(text), func(o kubeobject.Object) error {
		facts, err := objects.Extract(o)
		for _, f := range facts.Images {
			if f.Arch != "" {
				p.BootImages = append(p.BootImages, BootImage{Arch: f.Arch, Ref: f.Ref})
			}
		}
		return err
	})
}
