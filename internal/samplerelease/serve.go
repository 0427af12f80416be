package samplerelease

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Serve starts an HTTP registry on a free port of 127.0.0.1 that holds the
// release, and returns its address as host:port. It serves until closer is
// called, which also ends the requests that are under way; ctx is only for
// filling it.
func (r *Release) Serve(ctx context.Context) (addr string, closer func() error, err error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("starting the registry of the sample release: %w", err)
	}
	quiet := log.New(io.Discard, "", 0)
	server := &http.Server{
		Handler:           registry.New(registry.Logger(quiet), registry.WithReferrersSupport(true)),
		ErrorLog:          quiet,
		ReadHeaderTimeout: 10 * time.Second,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	closer = func() error {
		err := server.Close()
		if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
			err = errors.Join(err, serveErr)
		}
		return err
	}
	addr = listener.Addr().String()
	if err := r.Push(ctx, addr); err != nil {
		return "", nil, errors.Join(err, closer())
	}
	return addr, closer, nil
}

// Push uploads the release to the registry at addr (host:port, plain HTTP), by
// digest and under the tags of Image.Name.
func (r *Release) Push(ctx context.Context, addr string) error {
	for _, m := range r.manifests {
		if err := r.push(ctx, addr, m); err != nil {
			return fmt.Errorf("pushing %s/%s@%s to %s: %w", Prefix, m.repo, m.digest, addr, err)
		}
	}
	return nil
}

func (r *Release) push(ctx context.Context, addr string, m manifest) error {
	repo, err := name.NewRepository(addr+Prefix[len(Registry):]+"/"+m.repo, name.Insecure)
	if err != nil {
		return err
	}
	var blobs []v1.Descriptor
	if m.config.Digest != "" {
		blobs = append([]v1.Descriptor{m.config}, m.layers...)
	}
	for _, desc := range blobs {
		layer := static.NewLayer(r.blobs[desc.Digest], types.MediaType(desc.MediaType))
		if err := remote.WriteLayer(repo, layer, remote.WithContext(ctx)); err != nil {
			return fmt.Errorf("blob %s: %w", desc.Digest, err)
		}
	}
	targets := []name.Reference{repo.Digest(m.digest.String())}
	for _, tag := range m.tags {
		targets = append(targets, repo.Tag(tag))
	}
	for _, target := range targets {
		if err := remote.Put(target, rawManifest{m}, remote.WithContext(ctx)); err != nil {
			return err
		}
	}
	return nil
}

// rawManifest gives the registry client a manifest's own bytes.
type rawManifest struct{ m manifest }

func (r rawManifest) RawManifest() ([]byte, error)        { return r.m.raw, nil }
func (r rawManifest) MediaType() (types.MediaType, error) { return types.MediaType(r.m.mediaType), nil }

// RegistriesConf is a registries.conf by which references of the release are
// pulled from the registry at addr. It names no other place: nothing that goes
// wrong ends on the internet.
func RegistriesConf(addr string) string {
	location := addr + Prefix[len(Registry):]
	return fmt.Sprintf(`[[registry]]
prefix = %q
location = %q
insecure = true

[[registry.mirror]]
location = %q
insecure = true
`, Prefix, location, location)
}
