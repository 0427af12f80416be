// Package signtest makes signatures of images for tests, in the forms that
// containers/image reads: sigstore's, as cosign makes them, and simple ones.
package signtest

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// SimpleSigning is the media type of a sigstore signature's payload.
const SimpleSigning = "application/vnd.dev.cosign.simplesigning.v1+json"

// Key makes an ECDSA key and writes its public half, PEM, to a file.
func Key(t testing.TB) (key *ecdsa.PrivateKey, public string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	check(t, err)
	return key, file(t, "key.pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// OpenPGPKey makes an OpenPGP key and writes its public half to a file.
func OpenPGPKey(t testing.TB) (key *openpgp.Entity, public string) {
	t.Helper()
	key, err := openpgp.NewEntity("Test", "", "test@example.com", nil)
	check(t, err)
	var out bytes.Buffer
	check(t, key.Serialize(&out))
	return key, file(t, "key.gpg", out.Bytes())
}

// Policy writes a policy.json that lets everything run but what begins with scope,
// for which it demands the requirement, in JSON.
func Policy(t testing.TB, scope, requirement string) string {
	t.Helper()
	return file(t, "policy.json", fmt.Appendf(nil,
		`{"default": [{"type": "insecureAcceptAnything"}], "transports": {"docker": {%q: [%s]}}}`, scope, requirement))
}

// SigstoreSigned is the requirement of a sigstore signature with the key in a file,
// for the repository that pods ask for.
func SigstoreSigned(public string) string {
	return fmt.Sprintf(`{"type": "sigstoreSigned", "keyPath": %q, "signedIdentity": {"type": "matchRepository"}}`, public)
}

// SignedBy is the requirement of a simple signature with the key in a file.
func SignedBy(public string) string {
	return fmt.Sprintf(`{"type": "signedBy", "keyType": "GPGKeys", "keyPath": %q, "signedIdentity": {"type": "matchRepository"}}`, public)
}

// Attachment is a manifest with the blobs that it names, in their order.
type Attachment struct {
	Manifest []byte
	Blobs    [][]byte
	// Tag is what a sigstore attachment is found by.
	Tag string
	// MediaType is the manifest's; "" is an OCI image manifest.
	MediaType string
}

// Digest is the manifest's.
func (a Attachment) Digest() digest.Digest { return digest.FromBytes(a.Manifest) }

// Sigstore signs the image d of a repository, named as pods name it, as cosign
// does.
func Sigstore(t testing.TB, key *ecdsa.PrivateKey, repository string, d digest.Digest) Attachment {
	t.Helper()
	payload := fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":%q},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`, repository, d)
	hash := sha256.Sum256(payload)
	sig, err := ecdsa.SignASN1(rand.Reader, key, hash[:])
	check(t, err)
	config := []byte(`{"architecture":"","os":"","config":{},"rootfs":{"type":"layers","diff_ids":["` + digest.FromBytes(payload).String() + `"]}}`)
	layer := descriptor(SimpleSigning, payload)
	layer.Annotations = map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(sig)}
	return Attachment{
		Manifest: marshal(t, v1.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest,
			Config: descriptor(v1.MediaTypeImageConfig, config), Layers: []v1.Descriptor{layer},
		}),
		Blobs: [][]byte{config, payload}, Tag: "sha256-" + d.Encoded() + ".sig",
	}
}

// Referrer makes an artifact with the image d as its subject.
func Referrer(t testing.TB, artifactType string, d digest.Digest, content string) Attachment {
	t.Helper()
	subject := v1.Descriptor{MediaType: v1.MediaTypeImageManifest, Digest: d, Size: 1}
	return Attachment{
		Manifest: marshal(t, v1.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest, ArtifactType: artifactType,
			Config: descriptor(v1.MediaTypeEmptyJSON, []byte("{}")), Layers: []v1.Descriptor{descriptor("text/plain", []byte(content))}, Subject: &subject,
		}),
		Blobs: [][]byte{[]byte("{}"), []byte(content)},
	}
}

// ReferrersIndex is what stands in for the referrers API, with one referrer of the
// image d.
func ReferrersIndex(t testing.TB, a Attachment, d digest.Digest) Attachment {
	t.Helper()
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex}
	index.Manifests = []v1.Descriptor{descriptor(v1.MediaTypeImageManifest, a.Manifest)}
	return Attachment{Manifest: marshal(t, index), Tag: "sha256-" + d.Encoded(), MediaType: index.MediaType}
}

// Simple signs the image d under a reference with a tag, as an OpenPGP message.
func Simple(t testing.TB, key *openpgp.Entity, ref string, d digest.Digest) []byte {
	t.Helper()
	payload := fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":%q},"image":{"docker-manifest-digest":%q},"type":"atomic container signature"},"optional":{}}`, ref, d)
	var out bytes.Buffer
	w, err := openpgp.Sign(&out, key, nil, nil)
	check(t, err)
	_, err = w.Write(payload)
	check(t, err)
	check(t, w.Close())
	return out.Bytes()
}

// Push puts an attachment into a repository of the registry at addr, by plain
// HTTP, under its digest and the tags.
func Push(t testing.TB, addr, repository string, a Attachment, tags ...string) {
	t.Helper()
	base := "http://" + addr + "/v2/" + repository
	for _, blob := range a.Blobs {
		to := send(t, http.MethodPost, base+"/blobs/uploads/", "", nil, http.StatusAccepted)
		q := to.Query()
		q.Set("digest", digest.FromBytes(blob).String())
		to.RawQuery = q.Encode()
		send(t, http.MethodPut, to.String(), "application/octet-stream", blob, http.StatusCreated)
	}
	mediaType := cmp.Or(a.MediaType, v1.MediaTypeImageManifest)
	for _, version := range append([]string{a.Digest().String()}, tags...) {
		send(t, http.MethodPut, base+"/manifests/"+version, mediaType, a.Manifest, http.StatusCreated)
	}
}

// send returns where the answer points to, nil where it does not.
func send(t testing.TB, method, to, contentType string, body []byte, want int) *url.URL {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, to, bytes.NewReader(body))
	check(t, err)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	check(t, err)
	defer resp.Body.Close()
	if resp.StatusCode != want {
		t.Fatalf("%s %s: %s", method, to, resp.Status)
	}
	next, err := resp.Location()
	if errors.Is(err, http.ErrNoLocation) {
		return nil
	}
	check(t, err)
	return next
}

func descriptor(mediaType string, data []byte) v1.Descriptor {
	return v1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	check(t, err)
	return data
}

func file(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	check(t, os.WriteFile(path, data, 0o600))
	return path
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
