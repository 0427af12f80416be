package answer

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
)

// TestSlots fills, exchanges, damages and empties slots under a running handler.
func TestSlots(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	a, b := filepath.Join(root, "a"), filepath.Join(root, "b")
	image := func(dir, release string) *bundle.Image {
		src := storetest.NewSource(t, bundle.Expanded)
		img := *src.Add(storetest.Image{Repository: "quay.io/team/app", Tags: []string{"v1"}, Labels: map[string]string{"release": release}})
		writeStore(t, dir, src, nil)
		return &img
	}
	one, two := image(a, "one"), image(filepath.Join(root, "new"), "two")
	// No two moments are close to each other.
	var moment atomic.Int64
	h := New(Options{Stores: []string{a, b}, Now: func() time.Time { return time.Unix(moment.Add(1), 0) }})
	want := func(what, reference string, status int, d digest.Digest) {
		t.Helper()
		resp := ask(h, "GET", "/v2/quay.io/team/app/manifests/"+reference)
		if got := resp.Header.Get("Docker-Content-Digest"); resp.StatusCode != status || got != d.String() {
			t.Errorf("%s: %d %q, want %d %q", what, resp.StatusCode, got, status, d)
		}
	}
	healthy := func(what string, status int) {
		t.Helper()
		if resp := ask(h, "GET", "/healthz"); resp.StatusCode != status {
			t.Errorf("%s: health is %d, want %d: %s", what, resp.StatusCode, status, body(t, resp))
		}
	}
	want("slot b is missing", one.Digest.String(), 200, one.Digest)
	healthy("slot b is missing", 503)
	want("slot b is missing", two.Digest.String(), 404, "")
	if err := os.Rename(filepath.Join(root, "new"), b); err != nil {
		t.Fatal(err)
	}
	want("slot b is filled", two.Digest.String(), 200, two.Digest)
	want("the first store's tag wins", "v1", 200, one.Digest)
	healthy("slot b is filled", 200)
	if err := os.Rename(a, filepath.Join(root, "old")); err != nil {
		t.Fatal(err)
	}
	writeStore(t, a, storetest.NewSource(t, bundle.Expanded), nil)
	want("slot a is emptied", one.Digest.String(), 404, "")
	want("slot a is emptied", "v1", 200, two.Digest)
	healthy("slot a is emptied", 200)
	if err := os.Remove(filepath.Join(b, "overlay-images/images.lock")); err != nil {
		t.Fatal(err)
	}
	want("slot b has lost a lock file", two.Digest.String(), 200, two.Digest)
	healthy("slot b has lost a lock file", 503)
	put(t, filepath.Join(b, "overlay-images/images.json"), []byte(`[{"id":`))
	want("slot b is damaged", two.Digest.String(), 404, "")
	healthy("slot b is damaged", 503)
	if text := body(t, ask(h, "GET", "/metrics")); !strings.Contains(text, fmt.Sprintf("nodeseal_serve_store_up{store=%q} 0\n", b)) {
		t.Errorf("metrics do not say that a store is damaged:\n%s", text)
	}
}
