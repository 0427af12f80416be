package policy_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/internal/pull/policy"
	"github.com/nodeseal/nodeseal/internal/signtest"
)

const repo = "registry.example/team/app"

// sigstore returns the signatures of an attachment.
func sigstore(t *testing.T, a signtest.Attachment) []policy.Sigstore {
	t.Helper()
	var m v1.Manifest
	if err := json.Unmarshal(a.Manifest, &m); err != nil {
		t.Fatal(err)
	}
	return []policy.Sigstore{{Layer: m.Layers[0], Payload: a.Blobs[1]}}
}

// TestSigstore: what a policy with a key lets run, and under which names.
func TestSigstore(t *testing.T) {
	t.Parallel()
	manifest := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}`)
	d := digest.FromBytes(manifest)
	key, public := signtest.Key(t)
	other, _ := signtest.Key(t)
	p, err := policy.Read(signtest.Policy(t, "registry.example", signtest.SigstoreSigned(public)))
	if err != nil {
		t.Fatal(err)
	}
	good := sigstore(t, signtest.Sigstore(t, key, repo, d))
	wrongKey := sigstore(t, signtest.Sigstore(t, other, repo, d))
	byDigest, byTag := repo+"@"+d.String(), repo+":v1"
	for name, tt := range map[string]struct {
		names []string
		sigs  []policy.Sigstore
		runs  bool
	}{
		"signed":                  {[]string{byDigest, byTag}, good, true},
		"tag and digest":          {[]string{repo + ":v1@" + d.String()}, good, true},
		"one of two":              {[]string{byDigest}, append(wrongKey, good...), true},
		"another key":             {[]string{byDigest}, wrongKey, false},
		"not signed":              {[]string{byDigest}, nil, false},
		"another image's":         {[]string{byDigest}, sigstore(t, signtest.Sigstore(t, key, repo, digest.FromString("x"))), false},
		"another repository's":    {[]string{byDigest}, sigstore(t, signtest.Sigstore(t, key, repo+"2", d)), false},
		"also under another name": {[]string{byDigest, "registry.example/team/alias:v1"}, good, false},
		"the policy says nothing": {[]string{"quay.example/team/app@" + d.String()}, nil, true},
		"another digest":          {[]string{repo + "@" + digest.FromString("y").String()}, good, true}, // a list's; the manifest is what is signed
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := p.Check(t.Context(), tt.names, policy.Image{Manifest: manifest, Sigstore: tt.sigs})
			if tt.runs != (err == nil) || (err != nil && !errors.Is(err, policy.ErrRefused)) {
				t.Errorf("%v, want it to run: %v", err, tt.runs)
			}
		})
	}
}

// TestSimple: the same with OpenPGP.
func TestSimple(t *testing.T) {
	t.Parallel()
	manifest := []byte(`{"schemaVersion":2}`)
	d := digest.FromBytes(manifest)
	key, public := signtest.OpenPGPKey(t)
	other, _ := signtest.OpenPGPKey(t)
	p, err := policy.Read(signtest.Policy(t, "registry.example", signtest.SignedBy(public)))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		sig  []byte
		runs bool
	}{
		"signed":      {signtest.Simple(t, key, repo+":v1", d), true},
		"another key": {signtest.Simple(t, other, repo+":v1", d), false},
		"not for it":  {signtest.Simple(t, key, "registry.example/x:v1", d), false},
		"no message":  {[]byte("hello"), false},
	} {
		err := p.Check(t.Context(), []string{repo + "@" + d.String()}, policy.Image{Manifest: manifest, Simple: [][]byte{tt.sig}})
		if tt.runs != (err == nil) {
			t.Errorf("%s: %v, want it to run: %v", name, err, tt.runs)
		}
	}
}

// TestNoPolicy: files that are none, and a key that is not there.
func TestNoPolicy(t *testing.T) {
	t.Parallel()
	bad := filepath.Join(t.TempDir(), "policy.json")
	if _, err := policy.Read(bad); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := os.WriteFile(bad, []byte(`{"default": []}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := policy.Read(bad); err == nil {
		t.Error("a policy with no requirement is taken")
	}
	p, err := policy.Read(signtest.Policy(t, "registry.example", signtest.SigstoreSigned("/nonexistent.pub")))
	if err != nil {
		t.Fatal(err)
	}
	manifest := []byte(`{}`)
	key, _ := signtest.Key(t)
	sigs := sigstore(t, signtest.Sigstore(t, key, repo, digest.FromBytes(manifest)))
	err = p.Check(t.Context(), []string{repo + ":v1"}, policy.Image{Manifest: manifest, Sigstore: sigs})
	if !errors.Is(err, policy.ErrRefused) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a key that is not there: %v", err)
	}
}
