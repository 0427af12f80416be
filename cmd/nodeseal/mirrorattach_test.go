package main

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/internal/result"
	"github.com/nodeseal/nodeseal/internal/signtest"
	"github.com/nodeseal/nodeseal/internal/testregistry"
)

// attached is what the images of a mirrored have attached: two of the three are
// signed, one of them has a note, too.
type attached struct {
	key    *ecdsa.PrivateKey
	public string
	sigs   []signtest.Attachment
	note   signtest.Attachment
}

func repository(i int) string { return fmt.Sprintf("team/image%d", i) }

// attach signs two images, and puts the index that stands for the referrers API
// where there is none.
func attach(t *testing.T, content *testregistry.Content, images []digest.Digest) attached {
	t.Helper()
	var a attached
	a.key, a.public = signtest.Key(t)
	kept := filepath.Join(fixtures, "key.pub")
	check(t, os.Rename(a.public, kept))
	a.public = kept
	for i := range 2 {
		sig := signtest.Sigstore(t, a.key, "registry.example/"+repository(i), images[i])
		_, err := content.AddAttachment(repository(i), sig.Manifest, sig.Blobs, sig.Tag)
		check(t, err)
		a.sigs = append(a.sigs, sig)
	}
	a.note = signtest.Referrer(t, "text/note", images[1], "made on a Monday")
	_, err := content.AddAttachment(repository(1), a.note.Manifest, a.note.Blobs)
	check(t, err)
	index := signtest.ReferrersIndex(t, a.note, images[1])
	content.AddManifest(repository(1), index.MediaType, index.Manifest, index.Tag)
	return a
}

// run runs a command of the program and returns what it says and its exit code.
func (m *mirrored) run(args ...string) (stdout, stderr string, code int) {
	m.t.Helper()
	self, err := os.Executable()
	check(m.t, err)
	cmd := exec.CommandContext(m.t.Context(), self)
	cmd.Args = append([]string{"nodeseal"}, args...)
	return output(m.t, cmd)
}

func output(t *testing.T, cmd *exec.Cmd) (stdout, stderr string, code int) {
	t.Helper()
	var out, diag bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diag
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), diag.String(), cmd.ProcessState.ExitCode()
}

// inventory is that of a bundle whose every attachment's blobs it reads.
func (m *mirrored) inventory(name string) *bundle.Inventory {
	m.t.Helper()
	f, err := archive.OpenFile(m.t.Context(), m.path(name+".tar.zst"))
	check(m.t, err)
	defer f.Close()
	for _, img := range f.Inventory().Images {
		for _, a := range img.Attachments {
			for _, d := range append([]digest.Digest{a.Digest}, a.Blobs...) {
				_, err := f.ReadBlob(m.t.Context(), d)
				check(m.t, err)
			}
		}
	}
	return f.Inventory()
}

// described are the attachments of an inventory, one a line.
func described(inv *bundle.Inventory) string {
	var b strings.Builder
	for i, img := range inv.Images {
		for _, a := range img.Attachments {
			fmt.Fprintf(&b, "%d %s %s%s %s %d\n", i, a.Kind, a.Tag, a.Key, a.Digest, len(a.Blobs))
		}
	}
	return b.String()
}

func (m *mirrored) expected() string {
	return fmt.Sprintf("0 sigstore %s %s 2\n1 referrer  %s 2\n1 sigstore %s %s 2\n", m.sigs[0].Tag, m.sigs[0].Digest(),
		m.note.Digest(), m.sigs[1].Tag, m.sigs[1].Digest())
}

// TestBundleAttachments: a bundle carries what is attached, says what is not
// signed, and is the same whether the registry has the referrers API or not.
func TestBundleAttachments(t *testing.T) {
	t.Parallel()
	m := newMirrored(t)
	stdout, stderr, code := output(t, m.command("run", "--json"))
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	var res result.Mirrored
	check(t, json.Unmarshal([]byte(stdout), &res))
	ref := "registry.example/team/image2@" + m.images[2].String()
	if a := res.Attached; a == nil || a.Attachments != 3 || a.Bytes == 0 || len(a.NotCarried) > 0 || fmt.Sprint(a.Unsigned) != "["+ref+"]" {
		t.Errorf("%+v", a)
	}
	if n := strings.Count(stderr, "no signature"); n != 1 {
		t.Errorf("%d warnings:\n%s", n, stderr)
	}
	if got := described(m.inventory("run")); got != m.expected() {
		t.Errorf("got\n%swant\n%s", got, m.expected())
	}
	want := m.sum("run")
	m.registry = m.again()
	m.registry.Referrers = true
	if got := m.bundle("api", "--jobs", "1"); got != want {
		t.Errorf("with the referrers API another bundle")
	}
	if out, _, code := m.run("verify", m.path("run.tar.zst")); code != 0 {
		t.Errorf("verify: %d\n%s", code, out)
	}
	out, _, _ := m.run("inspect", m.path("run.tar.zst"))
	for _, line := range []string{"3 attachments, ", "2 of 3 images are signed", "with 1 referrer, 1 sigstore\n"} {
		if !strings.Contains(out, line) {
			t.Errorf("inspect does not say %q:\n%s", line, out)
		}
	}
	stdout, _, code = output(t, m.command("plan", "--dry-run", "--json"))
	var plan result.MirrorPlan
	check(t, json.Unmarshal([]byte(stdout), &plan))
	if code != 0 || plan.Attached == nil || plan.Attached.Attachments != 3 || plan.Attached.Bytes != res.Attached.Bytes || len(plan.Attached.Unsigned) != 1 {
		t.Errorf("dry run: %d %+v", code, plan.Attached)
	}
}

// TestBundleNoAttachments: none are carried, and none are asked for.
func TestBundleNoAttachments(t *testing.T) {
	t.Parallel()
	m := newMirrored(t)
	m.registry = m.again()
	var asked atomic.Int64
	m.registry.Trouble = func(q testregistry.Request) testregistry.Fault {
		if q.Referrers || strings.HasPrefix(q.Version, "sha256-") {
			asked.Add(1)
		}
		return testregistry.Fault{}
	}
	m.bundle("run", "--no-attachments")
	if got := described(m.inventory("run")); got != "" || asked.Load() != 0 {
		t.Errorf("%d requests, attachments\n%s", asked.Load(), got)
	}
	for _, flags := range [][]string{{"--policy", "p.json"}, {"--signatures", m.dir}} {
		if _, stderr, code := output(t, m.command("run", append(flags, "--no-attachments")...)); code != exitUsage {
			t.Errorf("%q: exit code %d\n%s", flags, code, stderr)
		}
	}
}

// TestBundleAttachmentsInTrouble: where no policy asks for signatures, a registry that
// does not answer about them fails no image.
func TestBundleAttachmentsInTrouble(t *testing.T) {
	t.Parallel()
	isSig := func(q testregistry.Request) bool { return strings.HasSuffix(q.Version, ".sig") }
	isPayload := func(m *mirrored) func(testregistry.Request) bool {
		return func(q testregistry.Request) bool { return q.Blob == digest.FromBytes(m.sigs[0].Blobs[1]) }
	}
	for name, tt := range map[string]struct {
		what   func(m *mirrored) func(testregistry.Request) bool
		status int
		code   int
		left   int // attachments
		known  int // problems
	}{
		"403 for tags": {func(*mirrored) func(testregistry.Request) bool { return isSig }, http.StatusForbidden, 0, 1, 3},
		"400 for referrers": {func(*mirrored) func(testregistry.Request) bool {
			return func(q testregistry.Request) bool { return q.Referrers }
		}, http.StatusBadRequest, 0, 3, 0},
		"no payload":           {isPayload, http.StatusNotFound, 0, 2, 1},
		"500 for tags, always": {func(*mirrored) func(testregistry.Request) bool { return isSig }, http.StatusInternalServerError, 0, 1, 3},
		"429 for tags, always": {func(*mirrored) func(testregistry.Request) bool { return isSig }, http.StatusTooManyRequests, 0, 1, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMirrored(t)
			m.registry = m.again()
			hit := tt.what(m)
			m.registry.Trouble = func(q testregistry.Request) testregistry.Fault {
				if hit(q) {
					return testregistry.Fault{Status: tt.status}
				}
				return testregistry.Fault{}
			}
			stdout, stderr, code := output(t, m.command("run", "--json", "--retries", "0"))
			if code != tt.code {
				t.Fatalf("exit code %d, want %d\n%s", code, tt.code, stderr)
			}
			if code != 0 {
				if !strings.Contains(stderr, ".sig") || !strings.Contains(stderr, "--no-attachments") {
					t.Errorf("it says\n%s", stderr)
				}
				return
			}
			var res result.Mirrored
			check(t, json.Unmarshal([]byte(stdout), &res))
			if res.Attached.Attachments != tt.left || len(res.Attached.NotCarried) != tt.known {
				t.Errorf("%+v", res.Attached)
			}
		})
	}
}

// TestBundleNoAttachmentsOf: what one registry has attached is neither asked for nor
// carried, that of another one is.
func TestBundleNoAttachmentsOf(t *testing.T) {
	t.Parallel()
	m := newMirrored(t)
	m.registry = m.again()
	conf, err := os.ReadFile(m.path("registries.conf"))
	check(t, err)
	conf = append(conf, "\n"+strings.ReplaceAll(string(conf), "registry.example", "other.example")...)
	check(t, os.WriteFile(m.path("registries.conf"), conf, 0o600))
	list := fmt.Sprintf("other.example/%s@%s\nregistry.example/%s@%s\n", repository(0), m.images[0], repository(1), m.images[1])
	check(t, os.WriteFile(m.path("images.lst"), []byte(list), 0o600))
	var asked [2]atomic.Int64
	m.registry.Trouble = func(q testregistry.Request) testregistry.Fault {
		for i := range asked {
			if q.Repository == repository(i) && (q.Referrers || strings.HasPrefix(q.Version, "sha256-")) {
				asked[i].Add(1)
			}
		}
		return testregistry.Fault{}
	}
	m.bundle("run", "--no-attachments=other.example", "--no-attachments=third.example:5000")
	if asked[0].Load() != 0 || asked[1].Load() == 0 {
		t.Errorf("%d requests to the one registry, want none, %d to the other one", asked[0].Load(), asked[1].Load())
	}
	if got := described(m.inventory("run")); strings.HasPrefix(got, "0 ") || strings.Contains(got, "\n0 ") || strings.Count(got, "\n") != 2 {
		t.Errorf("attachments\n%s", got)
	}
	for _, value := range []string{"", "other.example/team", "a b"} {
		if _, stderr, code := output(t, m.command("run", "--no-attachments="+value)); code != exitUsage {
			t.Errorf("--no-attachments=%q: exit code %d\n%s", value, code, stderr)
		}
	}
}
