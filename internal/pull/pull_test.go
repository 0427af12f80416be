package pull_test

import (
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/pull"
)

func TestSmoke(t *testing.T) {
	s := httptest.NewServer(registry.New())
	defer s.Close()
	h := strings.TrimPrefix(s.URL, "http://")
	img, _ := random.Image(100000, 2)
	ref, _ := name.ParseReference(h + "/a/b:v1")
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	c, err := pull.New(pull.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Manifest(t.Context(), h+"/a/b:v1")
	t.Log(m.Digest, m.MediaType, string(m.Bytes), err)
	d, err := c.Head(t.Context(), h+"/a/b:v1")
	t.Log(d, err)
	ls, _ := img.Layers()
	ld, _ := ls[0].Digest()
	sz, _ := ls[0].Size()
	_, err = c.Blob(t.Context(), h+"/a/b@"+m.Digest.String(), m.Digest, sz, 10)
	t.Log(err)
	b, err := c.Blob(t.Context(), h+"/a/b@"+m.Digest.String(), digest.Digest(ld.String()), sz, 10)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(b)
	t.Log(len(data), sz, err)
	_, err = c.Manifest(t.Context(), h+"/a/c:v1")
	t.Log(err)
	_, err = c.Manifest(t.Context(), "127.0.0.1:1/a/c:v1")
	t.Log(err)
}
