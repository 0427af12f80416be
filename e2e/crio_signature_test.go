//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/e2e/harness"
)

// testSignatures pulls where policy.json demands sigstore signatures: an image
// whose signature came with it, and one that has none.
func (c *crioProof) testSignatures(t *testing.T) {
	n := newNode(t, c.images.pause)
	n.run("import", c.images.bundle, "--root", n.path("slots"), "--no-seal")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	n.sign(key, c.images.app)
	n.run("seal", n.slot("a"))
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

// sign puts a signature of image into slot a, as import does for a bundle that
// carries one: its blobs, and the inventory that names them.
func (n *node) sign(key *ecdsa.PrivateKey, image string) {
	n.t.Helper()
	repo, sum, _ := strings.Cut(image, "@")
	payload := fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":%q},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`, repo, sum)
	hash := sha256.Sum256(payload)
	signature, err := ecdsa.SignASN1(rand.Reader, key, hash[:])
	if err != nil {
		n.t.Fatal(err)
	}
	config := n.attach([]byte(`{"architecture":"","os":"","config":{},"rootfs":{"type":"layers","diff_ids":[]}}`))
	config.MediaType = v1.MediaTypeImageConfig
	layer := n.attach(payload)
	layer.MediaType = "application/vnd.dev.cosign.simplesigning.v1+json"
	layer.Annotations = map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(signature)}
	manifest := n.attach(n.json(v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest,
		Config: config, Layers: []v1.Descriptor{layer},
	}))
	path := n.slot("a/nodeseal/inventory.json")
	inv, err := bundle.ParseInventory(strings.NewReader(string(harness.ReadFile(n.t, path))))
	if err != nil {
		n.t.Fatal(err)
	}
	for i := range inv.Images {
		if inv.Images[i].Ref == image {
			inv.Images[i].Attachments = []bundle.Attachment{{
				Kind: "sigstore", Tag: strings.Replace(sum, ":", "-", 1) + ".sig", Digest: manifest.Digest,
				MediaType: v1.MediaTypeImageManifest, Blobs: []digest.Digest{config.Digest, layer.Digest},
			}}
		}
	}
	for _, d := range []v1.Descriptor{config, layer, manifest} {
		inv.Blobs = append(inv.Blobs, bundle.Blob{Digest: d.Digest, Size: d.Size, Kind: bundle.KindAttachment})
	}
	data, err := inv.Marshal()
	if err == nil {
		err = os.WriteFile(path, data, 0o644)
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

// attach puts a blob among the attachments of slot a.
func (n *node) attach(data []byte) v1.Descriptor {
	n.t.Helper()
	d := digest.FromBytes(data)
	path := n.slot("a/nodeseal/blobs/sha256/" + d.Encoded())
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, data, 0o644)
	}
	if err != nil {
		n.t.Fatal(err)
	}
	return v1.Descriptor{Digest: d, Size: int64(len(data))}
}

func (n *node) json(v any) []byte {
	n.t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		n.t.Fatal(err)
	}
	return data
}
