package store

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"go.podman.io/storage"
	"go.podman.io/storage/pkg/archive"
)

// Facts are what only a layer's contents can tell.
type Facts struct {
	// DiffSize is the length of the plain tar.
	DiffSize int64 `json:"diffSize"`
	// UIDs and GIDs are the owners in the tar, sorted.
	UIDs []uint32 `json:"uids,omitempty"`
	GIDs []uint32 `json:"gids,omitempty"`
}

// LayerRecords returns the content of layers.json: facts are by diff ID, one
// for each of the plan's layers. Times are the epoch.
func (p *Plan) LayerRecords(facts map[digest.Digest]Facts) ([]byte, error) {
	records := make([]storage.Layer, 0, len(p.Layers))
	for _, l := range p.Layers {
		f, ok := facts[l.DiffID]
		if !ok {
			return nil, fmt.Errorf("layer %s: its contents were not measured", l.DiffID)
		}
		rec := storage.Layer{
			ID:                 l.ID,
			Created:            time.Unix(0, 0).UTC(),
			CompressedDigest:   l.Compressed,
			CompressedSize:     l.CompressedSize,
			UncompressedDigest: l.DiffID,
			UncompressedSize:   f.DiffSize,
			CompressionType:    l.compression(),
			UIDs:               f.UIDs,
			GIDs:               f.GIDs,
		}
		if l.Parent != nil {
			rec.Parent = l.Parent.ID
		}
		records = append(records, rec)
	}
	return marshal(records)
}

// compression returns how the registry's bytes are compressed, as the library
// would find when it sees them.
func (l *Layer) compression() archive.Compression {
	switch {
	case l.Compressed == l.DiffID:
		return archive.Uncompressed
	case strings.HasSuffix(l.MediaType, "zstd"):
		return archive.Zstd
	default:
		return archive.Gzip
	}
}

// ImageRecords returns the content of images.json.
func (p *Plan) ImageRecords() ([]byte, error) {
	records := make([]storage.Image, 0, len(p.Images))
	for _, img := range p.Images {
		metadata, err := img.metadata()
		if err != nil {
			return nil, err
		}
		rec := storage.Image{
			ID:             img.ID,
			Names:          img.Names,
			NamesHistory:   img.Names,
			Metadata:       metadata,
			Created:        img.Created,
			BigDataSizes:   make(map[string]int64, len(img.Data)),
			BigDataDigests: make(map[string]digest.Digest, len(img.Data)),
		}
		if img.TopLayer != nil {
			rec.TopLayer = img.TopLayer.ID
		}
		for _, item := range img.Data {
			rec.BigDataNames = append(rec.BigDataNames, item.Key)
			rec.BigDataSizes[item.Key] = item.Size
			rec.BigDataDigests[item.Key] = item.Digest
			if rec.Digest == "" && strings.HasPrefix(item.Key, storage.ImageDigestManifestBigDataNamePrefix) {
				rec.Digest = item.Digest
			}
		}
		records = append(records, rec)
	}
	return marshal(records)
}

func marshal(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding records: %w", err)
	}
	return data, readable(data)
}

// readable holds records to what Open reads: no store is written that it refuses.
func readable(records []byte) error {
	if err := checkRecords(records); err != nil {
		return tooManyRecords(err)
	}
	return nil
}
