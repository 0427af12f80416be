package pull_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/pull"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// It does not run beside others: the registry takes a port that was free.
func TestDockerRegistry(t *testing.T) {
	ca := testenv.NewAuthority(t)
	host := testenv.NeedDockerRegistry(t, ca, "eng", "s3cret")
	transport := &http.Transport{TLSClientConfig: ca.Client()}

	pushed, err := random.Image(layerSize, 1)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(host + "/acme/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	login := remote.WithAuth(&authn.Basic{Username: "eng", Password: "s3cret"})
	if err := remote.Write(ref, pushed, login, remote.WithTransport(transport)); err != nil {
		t.Fatal(err)
	}
	raw, err := pushed.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	img := image{manifest: digest.FromBytes(raw), bytes: raw}
	layers, err := pushed.Layers()
	if err != nil {
		t.Fatal(err)
	}
	img.layer, img.data = layerBytes(t, layers[0])

	c, n := newClient(t, pull.Options{CertDir: ca.CertDir(t), AuthFile: testenv.AuthFile(t, map[string]string{host: "eng:s3cret"})})
	for _, ref := range []string{host + "/acme/app:v1", host + "/acme/app@" + img.manifest.String()} {
		m, err := c.Manifest(t.Context(), ref)
		if err != nil || m.Digest != img.manifest {
			t.Fatalf("Manifest = %s, %v", m.Digest, err)
		}
		if d, err := c.Head(t.Context(), ref); err != nil || d.Digest != img.manifest {
			t.Fatalf("Head = %+v, %v", d, err)
		}
		for _, offset := range []int64{0, 1000} {
			if err := readBlob(t, c, ref, img, offset); err != nil {
				t.Fatal(err)
			}
		}
	}
	for ref, want := range map[string]error{
		"/acme/app:v2": pull.ErrNotFound, "/acme/none:v1": pull.ErrNotFound,
		"/acme/app@sha256:" + fmt.Sprintf("%064d", 7): pull.ErrNotFound,
	} {
		if _, err := c.Manifest(t.Context(), host+ref); !errors.Is(err, want) {
			t.Errorf("Manifest(%s) = %v, want %v", ref, err, want)
		}
		if _, err := c.Head(t.Context(), host+ref); !errors.Is(err, want) {
			t.Errorf("Head(%s) = %v, want %v", ref, err, want)
		}
	}
	wrong, _ := newClient(t, pull.Options{CertDir: ca.CertDir(t), AuthFile: testenv.AuthFile(t, map[string]string{host: "eng:guess"})})
	if _, err := wrong.Manifest(t.Context(), host+"/acme/app:v1"); !errors.Is(err, pull.ErrUnauthorized) {
		t.Errorf("with a wrong password: %v", err)
	}
	stranger, _ := newClient(t, pull.Options{AuthFile: testenv.AuthFile(t, map[string]string{host: "eng:s3cret"})})
	var unknown x509.UnknownAuthorityError
	if _, err := stranger.Manifest(t.Context(), host+"/acme/app:v1"); !errors.As(err, &unknown) {
		t.Errorf("without the authority: %v", err)
	}
	if len(n.list) != 0 {
		t.Errorf("waits %v", n.list)
	}
}
