// Package policy holds images to a containers-policy.json(5), by the code of
// containers/image that CRI-O and podman pull with, over signatures that are here
// already.
package policy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/directory"
	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/image"
	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/types"

	"github.com/nodeseal/nodeseal/bundle"
)

// ErrRefused is wrapped when the policy does not let an image run.
var ErrRefused = errors.New("refused by the policy")

// Policy is a policy. It is safe for concurrent use.
type Policy struct{ policy *signature.Policy }

// Read reads a policy file. Keys that it names are read when they are needed.
func Read(path string) (*Policy, error) {
	p, err := signature.NewPolicyFromFile(path)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	return &Policy{p}, nil
}

// Sigstore is a signature as a layer of a sigstore attachment.
type Sigstore struct {
	// Layer is the descriptor in the attachment's manifest: its annotations sign.
	Layer   v1.Descriptor
	Payload []byte
}

// Image is what is verified: one manifest, not a list, with its signatures.
type Image struct {
	Manifest []byte
	Sigstore []Sigstore
	// Simple are simple signatures (OpenPGP messages).
	Simple [][]byte
}

// Check holds img to the policy under each name by which pods may ask for it. What
// decides is the name, not where the bytes are from. The error wraps ErrRefused,
// and says for which name and why; errors of the disk, which keys are read from,
// are among them: a policy that cannot be followed lets nothing run.
func (p *Policy) Check(ctx context.Context, names []string, img Image) (err error) {
	// The library takes signatures only as a kind of image of its own has them.
	dir, err := os.MkdirTemp("", "nodeseal-signatures-")
	if err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := img.write(dir); err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	here, err := directory.NewReference(dir)
	if err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	src, err := here.NewImageSource(ctx, nil)
	if err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	defer src.Close() //nolint:errcheck // read only
	for _, name := range names {
		if err := p.checkAs(ctx, name, src); err != nil {
			return err
		}
	}
	return nil
}

func (p *Policy) checkAs(ctx context.Context, name string, src types.ImageSource) error {
	ref, err := dockerReference(name)
	if err != nil {
		return err
	}
	pc, err := signature.NewPolicyContext(p.policy)
	if err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	defer pc.Destroy() //nolint:errcheck // it has nothing
	_, err = pc.IsRunningImageAllowed(ctx, image.UnparsedInstanceWithReference(image.UnparsedInstance(src, nil), ref))
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("%w as %s: %w", ErrRefused, name, err)
	}
	return nil
}

// dockerReference is a name as the docker transport has it, which policies are
// about; one with both a tag and a digest goes by its digest.
func dockerReference(name string) (types.ImageReference, error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, fmt.Errorf("reference %q: %w", name, err)
	}
	if digested, ok := named.(reference.Digested); ok {
		if named, err = reference.WithDigest(reference.TrimNamed(named), digested.Digest()); err != nil {
			return nil, fmt.Errorf("reference %q: %w", name, err)
		}
	}
	ref, err := docker.NewReference(named)
	if err != nil {
		return nil, fmt.Errorf("reference %q: %w", name, err)
	}
	return ref, nil
}

// write writes the image in the form of the dir transport, without its layers.
func (img Image) write(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, "manifest.json"), img.Manifest, 0o600); err != nil {
		return err
	}
	n := 0
	add := func(blob []byte) error {
		n++
		return os.WriteFile(filepath.Join(dir, fmt.Sprintf("signature-%d", n)), blob, 0o600)
	}
	for _, s := range img.Sigstore {
		blob, err := bundle.SigstoreBlob(s.Layer, s.Payload)
		if err == nil {
			err = add(blob)
		}
		if err != nil {
			return err
		}
	}
	for _, data := range img.Simple {
		if err := add(bundle.SimpleBlob(data)); err != nil {
			return err
		}
	}
	return nil
}
