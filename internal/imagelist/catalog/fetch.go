package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/jsonbound"
	"github.com/nodeseal/nodeseal/internal/pull"
)

// The labels of a catalog's image: where its files are, and that of the form before files.
const (
	configsLabel  = "operators.operatorframework.io.index.configs.v1"
	databaseLabel = "operators.operatorframework.io.index.database.v1"
)

const (
	// maxConfig bounds the configuration of a catalog's image, in bytes.
	maxConfig = 4 << 20
	// maxLayers bounds its layers.
	maxLayers = 500
)

// Source is where a catalog's image is read: a registry client.
type Source interface {
	// Manifest fetches the manifest, or list of manifests, that ref names, and verifies it against ref's digest.
	Manifest(ctx context.Context, ref string) (pull.Manifest, error)
	// Blob opens a blob of ref's repository from offset on. What it reads is not verified.
	Blob(ctx context.Context, ref string, d digest.Digest, size, offset int64) (io.ReadCloser, error)
}

// Fetch reads the catalog of the image that ref names, of a list the instance of platform (os/arch), and keeps of
// it what wanted says. Everything is verified by its digest. Errors wrap ErrCatalog or ErrTooLarge, or are src's.
func Fetch(ctx context.Context, src Source, ref, platform string, wanted func(name string) bool) (*Catalog, error) {
	ref, err := imagelist.Normalize(ref)
	if err != nil {
		return nil, err
	}
	name, _ := imagelist.Split(ref)
	repo := imagelist.Repository(name)
	m, err := manifest(ctx, src, ref, repo, platform)
	if err != nil {
		return nil, err
	}
	dir, err := configsDir(ctx, src, repo, m.Config)
	if err != nil {
		return nil, err
	}
	c := &Catalog{Wanted: wanted}
	u := union{catalog: c, dir: dir, hidden: make(map[string]bool), opaque: make(map[string]bool)}
	for i := len(m.Layers) - 1; i >= 0; i-- { // the upper ones say what of the lower ones counts
		if err := u.layer(ctx, src, repo, m.Layers[i]); err != nil {
			return nil, fmt.Errorf("layer %s: %w", m.Layers[i].Digest, err)
		}
	}
	if u.files == 0 {
		return nil, fmt.Errorf("%w: %s has no files", ErrCatalog, dir)
	}
	return c, nil
}

// manifest returns the manifest of an image, with its descriptors looked at.
func manifest(ctx context.Context, src Source, ref, repo, platform string) (image v1.Manifest, err error) {
	m, err := src.Manifest(ctx, ref)
	if err != nil {
		return image, err
	}
	if bundle.IsIndex(m.MediaType) {
		var index v1.Index
		if err := jsonbound.Unmarshal(m.Bytes, &index); err != nil {
			return image, fmt.Errorf("%w: list %s: %w", ErrCatalog, m.Digest, err)
		}
		var found digest.Digest
		for _, d := range index.Manifests {
			if d.Platform != nil && d.Platform.OS+"/"+d.Platform.Architecture == platform {
				found = d.Digest
				break
			}
		}
		if found == "" {
			return image, fmt.Errorf("%w: list %s has no instance for %s", ErrCatalog, m.Digest, platform)
		}
		if m, err = src.Manifest(ctx, repo+"@"+found.String()); err != nil {
			return image, err
		}
	}
	if err := jsonbound.Unmarshal(m.Bytes, &image); err != nil {
		return image, fmt.Errorf("%w: manifest %s: %w", ErrCatalog, m.Digest, err)
	}
	if n := len(image.Layers); n == 0 || n > maxLayers {
		return image, fmt.Errorf("%w: manifest %s has %d layers", ErrCatalog, m.Digest, n)
	}
	for _, d := range append([]v1.Descriptor{image.Config}, image.Layers...) {
		if err := d.Digest.Validate(); err != nil || d.Digest.Algorithm() != digest.SHA256 || d.Size < 0 {
			return image, fmt.Errorf("%w: manifest %s: blob %q of %d bytes", ErrCatalog, m.Digest, d.Digest, d.Size)
		}
	}
	return image, nil
}

// configsDir is where the files of the catalog are in its image, slash-separated and without a slash in front.
func configsDir(ctx context.Context, src Source, repo string, config v1.Descriptor) (string, error) {
	if config.Size > maxConfig {
		return "", fmt.Errorf("%w: configuration of %d bytes", ErrCatalog, config.Size)
	}
	var data bytes.Buffer
	if err := verified(ctx, src, repo, config, func(r io.Reader) error { _, err := data.ReadFrom(r); return err }); err != nil {
		return "", fmt.Errorf("configuration: %w", err)
	}
	var image struct {
		Config struct {
			Labels map[string]string `json:"Labels"`
		} `json:"config"`
	}
	if err := jsonbound.Unmarshal(data.Bytes(), &image); err != nil {
		return "", fmt.Errorf("%w: configuration: %w", ErrCatalog, err)
	}
	labels := image.Config.Labels
	switch dir := clean(labels[configsLabel]); {
	case dir != "":
		return dir, nil
	case labels[databaseLabel] != "":
		return "", fmt.Errorf("%w: it is a database, of the form before file-based catalogs: opm migrate makes files of it", ErrCatalog)
	}
	return "", fmt.Errorf("%w: the image has no label %s", ErrCatalog, configsLabel)
}

// verified hands the bytes of a blob to read, and wants all of them to be those of its digest.
func verified(ctx context.Context, src Source, repo string, d v1.Descriptor, read func(io.Reader) error) error {
	blob, err := src.Blob(ctx, repo+"@"+d.Digest.String(), d.Digest, d.Size, 0)
	if err != nil {
		return err
	}
	verifier := d.Digest.Verifier()
	in := io.TeeReader(io.LimitReader(blob, d.Size), verifier)
	err = read(in)
	if err == nil {
		_, err = io.Copy(io.Discard, in)
	}
	if err = errors.Join(err, blob.Close()); err != nil {
		return err
	}
	if !verifier.Verified() {
		return pull.ErrDigest
	}
	return nil
}
