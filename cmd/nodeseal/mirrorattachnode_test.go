package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/answer"
	"github.com/nodeseal/nodeseal/internal/signtest"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// TestAttachmentsToTheNode: what a bundle carries is in the stores that are made of
// it, directories and images, of a part of it, of one that builds on another; and
// the answering registry has it. Images of a store are bundled with it again.
func TestAttachmentsToTheNode(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	m := newMirrored(t)
	pgp, _ := signtest.OpenPGPKey(t)
	simple := signtest.Simple(t, pgp, "registry.example/team/image1:v1", m.images[1])
	sigs := m.path("sigs/sha256=" + m.images[1].Encoded())
	check(t, os.MkdirAll(sigs, 0o755))
	check(t, os.WriteFile(filepath.Join(sigs, "signature-1"), simple, 0o600))
	list, err := os.ReadFile(m.path("images.lst"))
	check(t, err)
	lines := strings.SplitAfter(string(list), "\n")
	check(t, os.WriteFile(m.path("part.lst"), []byte(lines[1]), 0o600))
	check(t, os.WriteFile(m.path("images.lst"), []byte(lines[0]), 0o600))
	m.bundle("old")
	check(t, os.WriteFile(m.path("images.lst"), list, 0o600))
	m.bundle("all", "--signatures", m.path("sigs"))
	m.bundle("delta", "--signatures", m.path("sigs"), "--since", m.path("old.tar.zst"))
	m.must("import", m.path("old.tar.zst"), "--store", m.path("old-store"), "--no-seal")
	for name, args := range map[string][]string{
		"dir":   {"all.tar.zst"},
		"part":  {"all.tar.zst", "--images", m.path("part.lst")},
		"delta": {"delta.tar.zst", "--base", m.path("old-store")},
		"image": {"all.tar.zst", "--format", "image"},
	} {
		t.Run(name, func(t *testing.T) {
			m := *m
			m.t = t
			dir := m.path("store-" + name)
			if name == "image" {
				if err := image.Supported(t.Context(), os.TempDir()); err != nil {
					t.Skip(err)
				}
				t.Cleanup(func() { _ = exec.Command("umount", dir).Run() })
			}
			m.must(append([]string{"import", m.path(args[0]), "--store", dir, "--no-seal"}, args[1:]...)...)
			m.must("verify", dir)
			m.answers(dir, map[string]bool{
				"/v2/registry.example/team/image0/manifests/" + m.sigs[0].Tag:                                name != "part",
				"/v2/registry.example/team/image0/blobs/" + digest.FromBytes(m.sigs[0].Blobs[1]).String():    name != "part",
				"/v2/registry.example/team/image1/manifests/" + m.sigs[1].Tag:                                true,
				"/v2/registry.example/team/image1/manifests/" + m.note.Digest().String():                     true,
				"/v2/registry.example/team/image1/blobs/" + digest.FromBytes(m.note.Blobs[1]).String():       true,
				"/v2/registry.example/team/image2/manifests/sha256-" + m.images[2].Encoded() + ".sig":        false,
				"/extensions/v2/registry.example/team/image1/signatures/" + m.images[1].String():             true,
				"/v2/registry.example/team/image1/blobs/" + digest.FromString("nobody's").String():           false,
				"/v2/registry.example/team/image1/manifests/sha256-" + digest.FromString("x").Encoded()[:64]: false,
			})
			m.recorded(dir, m.images[1], m.sigs[1].Blobs[1], simple)
			if out := m.must("config", "signatures", "--store", dir); !strings.Contains(out, "sha256-"+m.images[1].Encoded()+"-1") {
				t.Errorf("config signatures says\n%s", out)
			}
			if out := m.must("inspect", dir); !strings.Contains(out, "with 1 referrer, 1 release-signature, 1 sigstore\n") {
				t.Errorf("inspect says\n%s", out)
			}
			if name != "dir" {
				return
			}
			m.must("bundle", "--store", dir, "-o", m.path("again.tar.zst"), "--work", m.path("again"))
			var again, all []string
			for _, img := range m.inventory("again").Images {
				again = append(again, fmt.Sprint(img.Digest, img.Attachments))
			}
			for _, img := range m.inventory("all").Images {
				all = append(all, fmt.Sprint(img.Digest, img.Attachments))
			}
			if fmt.Sprint(again) != fmt.Sprint(all) {
				t.Errorf("out of the store come\n%q\nnot\n%q", again, all)
			}
			// A signature that is changed on the disk is found.
			path := filepath.Join(dir, "nodeseal/blobs/sha256", digest.FromBytes(m.sigs[0].Blobs[1]).Encoded())
			check(t, os.WriteFile(path, []byte("another"), 0o600))
			if out, _, code := m.run("verify", dir); code != exitDamaged || !strings.Contains(out, "HURT     registry.example/team/image0") {
				t.Errorf("verify of a changed signature: %d\n%s", code, out)
			}
		})
	}
}

// recorded holds the image record of a manifest to the signatures, as containers/image
// finds them.
func (m *mirrored) recorded(dir string, manifest digest.Digest, payload, simple []byte) {
	m.t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "overlay-images/images.json"))
	check(m.t, err)
	var records []struct {
		ID, Metadata string
		Digest       digest.Digest
	}
	check(m.t, json.Unmarshal(data, &records))
	for _, rec := range records {
		if rec.Digest != manifest {
			continue
		}
		var sizes struct {
			Sizes []int `json:"signature-sizes"`
		}
		check(m.t, json.Unmarshal([]byte(rec.Metadata), &sizes))
		sigs, err := os.ReadFile(filepath.Join(dir, "overlay-images", rec.ID, "signatures"))
		check(m.t, err)
		if len(sizes.Sizes) != 2 || sizes.Sizes[0]+sizes.Sizes[1] != len(sigs) ||
			!bytes.HasPrefix(sigs, append([]byte("\x00simple-signing\n"), simple...)) ||
			!bytes.Contains(sigs, []byte(base64.StdEncoding.EncodeToString(payload))) {
			m.t.Errorf("sizes %v of %d bytes: %q", sizes.Sizes, len(sigs), sigs)
		}
		return
	}
	m.t.Errorf("no record of %s", manifest)
}

// must runs a command that must succeed.
func (m *mirrored) must(args ...string) string {
	m.t.Helper()
	out, stderr, code := m.run(args...)
	if code != 0 {
		m.t.Fatalf("%q: exit code %d\n%s%s", args, code, out, stderr)
	}
	return out
}

// answers asks the answering registry of a store.
func (m *mirrored) answers(dir string, paths map[string]bool) {
	m.t.Helper()
	h := answer.New(answer.Options{Stores: []string{dir}, Now: time.Now})
	for path, want := range paths {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if got := w.Code == http.StatusOK; got != want {
			m.t.Errorf("%s: %d, want it to be there: %v", path, w.Code, want)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v2/registry.example/team/image1/referrers/"+m.images[1].String(), nil))
	if !strings.Contains(w.Body.String(), m.note.Digest().String()) {
		m.t.Errorf("referrers: %s", w.Body)
	}
}
