package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// manifest is what a schema 2 or an OCI manifest says about an image.
type manifest struct {
	Config v1.Descriptor   `json:"config"`
	Layers []v1.Descriptor `json:"layers"`
}

// config is what an image configuration says about its layers.
type config struct {
	Created *time.Time `json:"created"`
	RootFS  struct {
		DiffIDs []digest.Digest `json:"diff_ids"`
	} `json:"rootfs"`
}

// verifyManifest parses a manifest and compares it with what the inventory says
// about img.
func verifyManifest(data []byte, img *bundle.Image) error {
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("not a manifest: %w", err)
	}
	if m.Config.Digest != img.Config.Digest {
		return fmt.Errorf("it names the configuration %q, the inventory %s", m.Config.Digest, img.Config.Digest)
	}
	if len(m.Layers) != len(img.Layers) {
		return fmt.Errorf("it has %d layers, the inventory %d", len(m.Layers), len(img.Layers))
	}
	for i, l := range m.Layers {
		claim := img.Layers[i]
		if l.Digest != claim.Digest || l.Size != claim.Size {
			return fmt.Errorf("its layer %d is %s of %d bytes, the inventory's %s of %d bytes",
				i, l.Digest, l.Size, claim.Digest, claim.Size)
		}
	}
	return nil
}

// verifyConfig parses a configuration and compares its diff_ids with what the
// inventory says about img. It returns when the image was created, the epoch
// where it does not say.
func verifyConfig(data []byte, img *bundle.Image) (time.Time, error) {
	var c config
	if err := json.Unmarshal(data, &c); err != nil {
		return time.Time{}, fmt.Errorf("not an image configuration: %w", err)
	}
	if len(c.RootFS.DiffIDs) != len(img.Layers) {
		return time.Time{}, fmt.Errorf("it has %d diff_ids, the manifest %d layers", len(c.RootFS.DiffIDs), len(img.Layers))
	}
	for i, d := range c.RootFS.DiffIDs {
		if d != img.Layers[i].DiffID {
			return time.Time{}, fmt.Errorf("its diff_id %d is %s, the inventory's %s", i, d, img.Layers[i].DiffID)
		}
	}
	if c.Created == nil {
		return time.Unix(0, 0).UTC(), nil
	}
	if y := c.Created.Year(); y < 0 || y > 9999 {
		return time.Time{}, errors.New("its time of creation has no JSON form")
	}
	return *c.Created, nil
}
