//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/signtest"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// signedImages is how two of the images for CRI-O are signed: the app as cosign
// signs, the last twin by OpenPGP, as a release is. All others are not.
type signedImages struct {
	public, gpg string // the keys' files
	signatures  string // directory of the OpenPGP signature
}

// split takes a reference by digest apart.
func split(ref string) (repository string, d digest.Digest) {
	repository, sum, _ := strings.Cut(ref, "@")
	return repository, digest.Digest(sum)
}

// sign signs images in the registry, and beside it.
func (m *imageMaker) sign(images *crioImages) *signedImages {
	m.t.Helper()
	key, public := signtest.Key(m.t)
	pgp, gpg := signtest.OpenPGPKey(m.t)
	s := &signedImages{public: public, gpg: gpg, signatures: m.t.TempDir()}
	repository, d := split(images.app)
	sig := signtest.Sigstore(m.t, key, repository, d)
	signtest.Push(m.t, m.addr, "nodeseal-e2e/app", sig, sig.Tag)
	repository, d = split(images.twins[2])
	folder := filepath.Join(s.signatures, "sha256="+d.Encoded())
	if err := os.Mkdir(folder, 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "signature-1"), signtest.Simple(m.t, pgp, repository+":signed", d), 0o600); err != nil {
		m.t.Fatal(err)
	}
	return s
}

// policy demands signatures of the repositories app, tagged and twin. The keys lie
// in the given directory.
func (s *signedImages) policy(keys string) string {
	return fmt.Sprintf(`{"default": [{"type": "insecureAcceptAnything"}], "transports": {"docker": {
%q: [%s], %q: [%s], %q: [%s]}}}`, crioRepo+"/app", signtest.SigstoreSigned(keys+"/key.pub"),
		crioRepo+"/tagged", signtest.SigstoreSigned(keys+"/key.pub"), crioRepo+"/twin", signtest.SignedBy(keys+"/key.gpg"))
}

// flags are what a bundle is made with that has the signatures.
func (s *signedImages) flags() []string { return []string{"--signatures", s.signatures} }

// testSignatures pulls where policy.json demands signatures, with no network, by
// CRI-O, and those by OpenPGP also by podman: images whose signatures came with
// them, images that have none, and images that others signed.
func (c *crioProof) testSignatures(t *testing.T) {
	n := newNode(t, c.images.pause)
	c.fill(n, c.images.bundle)
	n.pullHere()
	s := c.images.signed
	n.write("etc/key.pub", string(harness.ReadFile(t, s.public)))
	n.write("etc/key.gpg", string(harness.ReadFile(t, s.gpg)))
	n.write("etc/policy.json", s.policy(n.path("etc")))
	n.serve()
	n.start()
	for ref, signed := range map[string]bool{c.images.app: true, c.images.twins[2]: true, c.images.tagRef: false, c.images.twins[1]: false} {
		err := n.pull(t.Context(), ref)
		if signed && err != nil {
			t.Errorf("CRI-O, a signed image: %v", err)
		}
		if !signed && (err == nil || !strings.Contains(err.Error(), "ignature")) {
			t.Errorf("CRI-O, an image with no signature is pulled although the policy demands one: %v", err)
		}
		if !strings.HasPrefix(ref, crioRepo+"/twin") {
			continue // Debian's podman has sigstore signatures turned off
		}
		out, err := n.podman("pull", "--quiet", ref)
		if signed && err != nil {
			t.Errorf("podman, a signed image: %v\n%s", err, out)
		}
		if !signed && (err == nil || !strings.Contains(out, "signature was required")) {
			t.Errorf("podman, an image with no signature: %v\n%s", err, out)
		}
	}
	n.runPod(c.images.app, 0, "/bin/true")
	n.noLayers()
	// Another key than the one that signed.
	_, stranger := signtest.Key(t)
	n.write("etc/key.pub", string(harness.ReadFile(t, stranger)))
	if err := n.pull(t.Context(), c.images.app); err == nil || !strings.Contains(err.Error(), "ignature") {
		t.Errorf("CRI-O, a signature of another key: %v", err)
	}
	_, other := signtest.OpenPGPKey(t)
	n.write("etc/key.gpg", string(harness.ReadFile(t, other)))
	if out, err := n.podman("pull", "--quiet", c.images.twins[2]); err == nil {
		t.Errorf("podman takes a signature of another key\n%s", out)
	}
}

// testPolicies creates containers in a namespace that has a policy of its own, with
// no registry at all: CRI-O looks for the signatures in the store.
func (c *crioProof) testPolicies(t *testing.T) {
	n := newNode(t, c.images.pause)
	c.fill(n, c.images.bundle)
	s := c.images.signed
	n.write("etc/key.pub", string(harness.ReadFile(t, s.public)))
	n.write("etc/key.gpg", string(harness.ReadFile(t, s.gpg)))
	n.write("policies/e2e.json", s.policy(n.path("etc")))
	n.start()
	for _, ref := range []string{c.images.app, c.images.twins[2]} {
		n.runPod(ref, 0, "/bin/true")
	}
	pod, config := n.pod()
	if _, err := n.create(pod, config, c.images.tagRef, 0, "/bin/true"); err == nil || !strings.Contains(err.Error(), "ignature") {
		t.Errorf("a container of an image with no signature is created although the namespace's policy demands one: %v", err)
	}
	n.removePod(pod)
}

// podman runs podman on the node, with a graph root of its own and slot a.
func (n *node) podman(args ...string) (string, error) {
	n.t.Helper()
	testenv.NeedTool(n.t, "podman")
	n.write("podman.conf", fmt.Sprintf("[storage]\ndriver = \"overlay\"\ngraphroot = %q\nrunroot = %q\n[storage.options]\nadditionalimagestores = [%q]\n",
		n.path("p/graph"), n.path("p/run"), n.slot("a")))
	words := append([]string{"env", "CONTAINERS_STORAGE_CONF=" + n.path("podman.conf"), "podman", "--tmpdir", n.path("p/t"),
		"--cgroup-manager", "cgroupfs", "--events-backend", "none", "--runtime", "runc"}, args...)
	out, err := n.command(words...).CombinedOutput()
	return string(out), err
}
