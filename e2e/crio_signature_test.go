//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/seekable"
)

// testSignatures pulls where policy.json demands sigstore signatures: an image
// whose signature came with it, and one that has none.
func (c *crioProof) testSignatures(t *testing.T) {
	n := newNode(t, c.images.pause)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.fill(n, signedBundle(t, c.images.bundle, key, c.images.app))
	n.pullHere()
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	n.write("etc/key.pub", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})))
	n.write("etc/policy.json", fmt.Sprintf(`{"default": [{"type": "insecureAcceptAnything"}],
"transports": {"docker": {%q: [{"type": "sigstoreSigned", "keyPath": %q, "signedIdentity": {"type": "matchRepository"}}]}}}`,
		crioRepo, n.path("etc/key.pub")))
	n.serve()
	n.start()
	if err := n.pull(t.Context(), c.images.app); err != nil {
		t.Errorf("pulling a signed image: %v", err)
	}
	n.runPod(c.images.app, 0, "/bin/true")
	if err := n.pull(t.Context(), c.images.tagRef); err == nil {
		t.Error("an image with no signature is pulled although the policy demands one")
	} else {
		t.Logf("an image with no signature: %v", err)
	}
	n.noLayers()
}

// resigned is a bundle with more small blobs than it had.
type resigned struct {
	*archive.File
	added map[digest.Digest][]byte
	enc   *seekable.Encoder
}

// signedBundle is a copy of a bundle that carries a signature of image.
func signedBundle(t *testing.T, path string, key *ecdsa.PrivateKey, image string) string {
	t.Helper()
	fail := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	f, err := archive.OpenFile(t.Context(), path)
	fail(err)
	defer f.Close()
	enc, err := seekable.NewEncoder(0, 0)
	fail(err)
	inv, err := bundle.ParseInventory(bytes.NewReader(f.RawInventory()))
	fail(err)
	r := &resigned{File: f, added: make(map[digest.Digest][]byte), enc: enc}
	signature := r.sign(t, key, image)
	for i := range inv.Images {
		if inv.Images[i].Ref == image {
			inv.Images[i].Attachments = []bundle.Attachment{signature}
		}
	}
	for d, data := range r.added {
		inv.Blobs = append(inv.Blobs, bundle.Blob{Digest: d, Size: int64(len(data)), Kind: bundle.KindAttachment})
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "signed.tar.zst"))
	fail(err)
	defer out.Close()
	_, err = archive.Write(t.Context(), out, inv, r, enc, nil)
	fail(err)
	fail(out.Close())
	return out.Name()
}

// sign makes the blobs of a signature of image, as cosign does.
func (r *resigned) sign(t *testing.T, key *ecdsa.PrivateKey, image string) bundle.Attachment {
	t.Helper()
	repo, sum, _ := strings.Cut(image, "@")
	payload := fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":%q},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`, repo, sum)
	hash := sha256.Sum256(payload)
	signature, err := ecdsa.SignASN1(rand.Reader, key, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	config := r.add([]byte(`{"architecture":"","os":"","config":{},"rootfs":{"type":"layers","diff_ids":[]}}`))
	config.MediaType = v1.MediaTypeImageConfig
	layer := r.add(payload)
	layer.MediaType = "application/vnd.dev.cosign.simplesigning.v1+json"
	layer.Annotations = map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(signature)}
	data, err := json.Marshal(v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest,
		Config: config, Layers: []v1.Descriptor{layer},
	})
	if err != nil {
		t.Fatal(err)
	}
	return bundle.Attachment{
		Kind: "sigstore", Tag: strings.Replace(sum, ":", "-", 1) + ".sig", Digest: r.add(data).Digest,
		MediaType: v1.MediaTypeImageManifest, Blobs: []digest.Digest{config.Digest, layer.Digest},
	}
}

func (r *resigned) add(data []byte) v1.Descriptor {
	d := digest.FromBytes(data)
	r.added[d] = data
	return v1.Descriptor{Digest: d, Size: int64(len(data))}
}

// ReadBlob implements archive.Content.
func (r *resigned) ReadBlob(ctx context.Context, d digest.Digest) ([]byte, error) {
	if data, ok := r.added[d]; ok {
		return data, nil
	}
	return r.File.ReadBlob(ctx, d)
}

// OpenFrames implements archive.Content.
func (r *resigned) OpenFrames(ctx context.Context, d digest.Digest) (io.ReadCloser, []seekable.Frame, error) {
	open := r.OpenLayer
	for _, b := range r.Inventory().Blobs {
		if b.Digest == d && b.Kind == bundle.KindFileTable {
			open = r.OpenTable
		}
	}
	content, err := open(ctx, d)
	if err != nil {
		return nil, nil, err
	}
	defer content.Close()
	var out bytes.Buffer
	w := r.enc.NewWriter(ctx, &out)
	size, err := io.Copy(w, content)
	if err == nil {
		err = archive.PadContent(w, size)
	}
	if err != nil {
		return nil, nil, err
	}
	frames, err := w.Close()
	return io.NopCloser(&out), frames, err
}
