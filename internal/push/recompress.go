package push

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/jsonbound"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/layout"
)

const phaseCompress = "compress"

// compress finds out what the expanded layers of images are as gzip. The bytes are made once
// more when they are sent: the digest has to be known before, to ask whether they are there.
func (p *planner) compress(ctx context.Context, images []*bundle.Image) error {
	var layers []bundle.Layer
	total := int64(0)
	for _, img := range images {
		for _, l := range img.Layers {
			if p.exact(l) || p.gzipped[l.DiffID] != nil {
				continue
			}
			p.gzipped[l.DiffID] = &blob{}
			layers = append(layers, l)
			total += l.DiffSize
		}
	}
	if len(layers) == 0 {
		return nil
	}
	report := p.o.Progress
	report.Begin(phaseCompress, total, progress.Bytes)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, l := range layers {
		g.Go(func() error {
			b := p.gzipped[l.DiffID]
			sum := sha256.New()
			r, err := p.gzip(ctx, l.DiffID)
			if err != nil {
				return err
			}
			n, err := io.Copy(sum, r)
			if err = errors.Join(err, r.Close()); err != nil {
				return err
			}
			b.digest, b.size = digest.NewDigest(digest.SHA256, sum), n
			b.open = func(ctx context.Context) (io.ReadCloser, error) {
				r, err := p.gzip(ctx, l.DiffID)
				if err != nil {
					return nil, err
				}
				return struct {
					io.Reader
					io.Closer
				}{layout.NewVerifier(r, b.digest, b.size), r}, nil
			}
			report.Add(phaseCompress, l.DiffSize)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	report.End(phaseCompress)
	return nil
}

// gzip returns a layer of the bundle as gzip. The same layer gives the same bytes.
func (p *planner) gzip(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	layer, err := p.o.Source.OpenLayer(ctx, d)
	if err != nil {
		return nil, err
	}
	out, in := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		z := gzip.NewWriter(in)
		_, err := io.Copy(z, layer)
		if err == nil {
			err = z.Close()
		}
		in.CloseWithError(errors.Join(err, layer.Close()))
	}()
	return &piped{out, done}, nil
}

// piped is a reader whose writer ended once it is closed.
type piped struct {
	*io.PipeReader
	done <-chan struct{}
}

// Close implements io.Closer.
func (p *piped) Close() error {
	err := p.PipeReader.Close()
	<-p.done
	return err
}

// changedManifest is a manifest with other blobs in the place of some of its layers.
func (p *planner) changedManifest(ctx context.Context, old document, layers map[int]*blob) (document, error) {
	data, err := p.o.Source.ReadBlob(ctx, old.digest)
	if err != nil {
		return document{}, err
	}
	var m v1.Manifest
	if err := jsonbound.Unmarshal(data, &m); err != nil {
		return document{}, fmt.Errorf("%w: manifest %s: %w", bundle.ErrChain, old.digest, err)
	}
	for i, b := range layers {
		if i >= len(m.Layers) {
			return document{}, fmt.Errorf("%w: manifest %s has %d layers", bundle.ErrChain, old.digest, len(m.Layers))
		}
		l := &m.Layers[i]
		l.Digest, l.Size, l.URLs = b.digest, b.size, nil
		l.MediaType = v1.MediaTypeImageLayerGzip
		if old.mediaType == bundle.MediaTypeDockerManifest {
			l.MediaType = "application/vnd.docker.image.rootfs.diff.tar.gzip"
		}
	}
	if data, err = json.Marshal(m); err != nil {
		return document{}, fmt.Errorf("manifest of recompressed layers: %w", err)
	}
	return document{digest: digest.FromBytes(data), mediaType: old.mediaType, data: data}, nil
}
