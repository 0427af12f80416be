package mirror

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/jsonbound"
	"github.com/nodeseal/nodeseal/internal/pull/policy"
)

// signatures are those of one manifest, as the policy takes them.
type signatures struct {
	sigstore []policy.Sigstore
	simple   [][]byte
}

// addSigstore adds the layers of a sigstore attachment's manifest.
func (s *signatures) addSigstore(manifest []byte, contents map[digest.Digest][]byte) error {
	var m v1.Manifest
	if err := jsonbound.Unmarshal(manifest, &m); err != nil {
		return fmt.Errorf("sigstore attachment: %w", err)
	}
	for _, l := range m.Layers {
		s.sigstore = append(s.sigstore, policy.Sigstore{Layer: l, Payload: contents[l.Digest]})
	}
	return nil
}

// checkPolicy holds an image to the policy under all of its names, as a node will
// when pods ask for them. A node verifies the instance of a list, not the list.
func (r *run) checkPolicy(ctx context.Context, img *bundle.Image, s *signatures) error {
	manifest, err := r.work.Small(img.Digest)
	if err != nil {
		return err
	}
	check := policy.Image{Manifest: manifest, Sigstore: s.sigstore, Simple: s.simple}
	// A name that has the list's digest stands for the instance that is taken of it.
	return r.o.Policy.Check(ctx, append([]string{img.Ref}, img.Names...), check)
}
