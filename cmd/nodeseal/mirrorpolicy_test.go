package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/result"
	"github.com/nodeseal/nodeseal/internal/signtest"
	"github.com/nodeseal/nodeseal/internal/testregistry"
)

// TestBundlePolicy: with a policy, a missing or a wrong signature is an error;
// with --keep-going the image is left out before anything of it is moved. The
// policy is about the names that pods use, also where a mirror has the bytes.
func TestBundlePolicy(t *testing.T) {
	t.Parallel()
	_, stranger := signtest.Key(t)
	for name, tt := range map[string]struct {
		scope, key string
		flags      []string
		code       int
		failed     int
	}{
		"what is signed":  {scope: "registry.example/team/image1", code: 0},
		"what is not":     {scope: "registry.example", code: exitDamaged},
		"another key":     {scope: "registry.example/team/image1", key: stranger, code: exitDamaged},
		"keep going":      {scope: "registry.example", flags: []string{"--keep-going"}, code: exitPartial, failed: 1},
		"dry run":         {scope: "registry.example", flags: []string{"--keep-going", "--dry-run"}, code: exitPartial, failed: 1},
		"nothing is left": {scope: "registry.example", key: stranger, flags: []string{"--keep-going"}, code: exitDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMirrored(t)
			// A mirror that is for digests only has the signatures as well; the source is gone.
			mirror := &testregistry.Registry{Content: m.registry.Content}
			m.conf("location = \"127.0.0.1:9\"\ninsecure = true\n[[registry.mirror]]\nlocation = %q\ninsecure = true\npull-from-mirror = \"digest-only\"\n", served(t, mirror))
			key := tt.key
			if key == "" {
				key = m.public
			}
			flags := append([]string{"--json", "--policy", signtest.Policy(t, tt.scope, signtest.SigstoreSigned(key))}, tt.flags...)
			stdout, stderr, code := output(t, m.command("run", flags...))
			if code != tt.code {
				t.Fatalf("exit code %d, want %d\n%s%s", code, tt.code, stdout, stderr)
			}
			unsigned := "registry.example/team/image2@" + m.images[2].String()
			if tt.code == exitDamaged {
				if !strings.Contains(stderr, "refused by the policy as registry.example/team/image") || !strings.Contains(stderr, "->") {
					t.Errorf("it says\n%s", stderr)
				}
				if left, _ := filepath.Glob(m.path("run.tar.zst*")); len(left) != 0 {
					t.Errorf("left: %q", left)
				}
				return
			}
			var res struct{ Failed []result.FailedImage }
			check(t, json.Unmarshal([]byte(stdout), &res))
			if len(res.Failed) != tt.failed || tt.failed == 1 && res.Failed[0].Ref != unsigned {
				t.Errorf("failed: %+v", res.Failed)
			}
			if n := mirror.Served(m.layers[3].Digest); tt.failed == 1 && n != 0 {
				t.Errorf("%d bytes of an image that the policy refuses were moved", n)
			}
		})
	}
}

// TestBundleReleaseSignatures: signatures of a release come from files in the
// forms in which they are published and kept, are carried, and printed for the
// cluster. They count for a policy, as those of a lookaside server do.
func TestBundleReleaseSignatures(t *testing.T) {
	t.Parallel()
	m := newMirrored(t)
	key, public := signtest.OpenPGPKey(t)
	simple := func(i int) []byte {
		return signtest.Simple(t, key, "registry.example/"+repository(i)+":v1", m.images[i])
	}
	put := func(path string, data []byte) {
		check(t, os.MkdirAll(filepath.Dir(m.path(path)), 0o755))
		check(t, os.WriteFile(m.path(path), data, 0o600))
	}
	first, second := simple(2), simple(2)
	hex := m.images[2].Encoded()
	put("sigs/sha256="+hex+"/signature-1", first)
	put("sigs/other/sha256="+digest.FromString("x").Encoded()+"/signature-1", simple(1)) // of another release
	cm, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata":   map[string]any{"name": "s", "namespace": "openshift-config-managed", "labels": map[string]string{"release.openshift.io/verification-signatures": ""}},
		"binaryData": map[string][]byte{"sha256-" + hex + "-1": first, "sha256-" + hex + "-2": second},
	})
	check(t, err)
	put("sigs/signature.json", cm)
	// Image 1 has its signature on a web server, image 0 has one in a directory.
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/store/team/image1@sha256="+m.images[1].Encoded()+"/signature-1" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(simple(1))
	}))
	t.Cleanup(web.Close)
	put("lookaside/team/image0@sha256="+m.images[0].Encoded()+"/signature-1", simple(0))
	flags := []string{"--signatures", m.path("sigs"), "--registries-d", m.path("registries.d"),
		"--policy", signtest.Policy(t, "registry.example", signtest.SignedBy(public))}
	// The lookaside of a place is by its own name in registries.d: that of the location.
	addr := served(t, m.registry)
	m.conf("location = %q\ninsecure = true\n", addr)
	put("registries.d/test.yaml", fmt.Appendf(nil, "docker:\n  %s/team/image1: {lookaside: %q}\n  %s/team/image0: {lookaside: %q}\n",
		addr, web.URL+"/store", addr, "file://"+m.path("lookaside")))
	m.bundle("run", flags...)
	got := described(m.inventory("run"))
	for _, want := range []string{
		"0 simple-signature sha256-" + m.images[0].Encoded() + "-1 ", "1 simple-signature sha256-" + m.images[1].Encoded() + "-1 ",
		fmt.Sprintf("2 release-signature sha256-%s-1 ", hex), fmt.Sprintf("2 release-signature sha256-%s-2 ", hex),
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Count(got, "release-signature") != 2 {
		t.Errorf("release signatures:\n%s", got)
	}
	out, stderr, code := m.run("config", "signatures", "--bundle", m.path("run.tar.zst"))
	if code != 0 || strings.Count(out, "sha256-"+hex+"-") != 2 || !strings.Contains(out, "namespace: openshift-config-managed") {
		t.Errorf("config signatures: %d %s\n%s", code, stderr, out)
	}
	if _, stderr, code := m.run("config", "all", "--pool", "master", "--ocp-version", "4.18", "--bundle", m.path("run.tar.zst"), "-o", m.path("config")); code != 0 {
		t.Errorf("config all: %d %s", code, stderr)
	}
	all, err := os.ReadFile(m.path("config/60-signatures.yaml"))
	if err != nil || string(all) != out {
		t.Errorf("config all has other signatures: %v\n%s", err, all)
	}
	if _, stderr, code = output(t, m.command("none", append(flags[4:], "--json")...)); code != exitDamaged {
		t.Errorf("without the signatures: exit code %d\n%s", code, stderr)
	}
	m.bundle("plain")
	if _, stderr, code = m.run("config", "signatures", "--bundle", m.path("plain.tar.zst")); code != exitUsage || !strings.Contains(stderr, "--signatures") {
		t.Errorf("of a bundle with none: %d\n%s", code, stderr)
	}
}
