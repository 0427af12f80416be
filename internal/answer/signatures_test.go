package answer

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
)

// TestSimpleSignatures: a signature that is no manifest is answered as OpenShift's
// registry does, and the header says so where there is one.
func TestSimpleSignatures(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	h := handler(f.dir)
	for d, want := range map[digest.Digest]int{f.app.Digest: 1, f.listed.Digest: 0} {
		resp := ask(h, "GET", "/extensions/v2/quay.io/team/app/signatures/"+d.String())
		var list struct {
			Signatures []struct {
				SchemaVersion int
				Type          string
				Content       []byte
			}
		}
		if err := json.Unmarshal([]byte(body(t, resp)), &list); err != nil || resp.StatusCode != http.StatusOK || len(list.Signatures) != want {
			t.Fatalf("%s: %d, %v, %+v", d, resp.StatusCode, err, list)
		}
		if want > 0 {
			if s := list.Signatures[0]; s.SchemaVersion != 2 || s.Type != "atomic" || string(s.Content) != "an OpenPGP message" {
				t.Errorf("%+v", s)
			}
		}
	}
	for path, status := range map[string]int{
		"/extensions/v2/quay.io/team/app/signatures/sha256:abc": 400, "/extensions/v2/quay.io/Team/signatures/" + f.app.Digest.String(): 400,
		"/extensions/v2/quay.io/team/app/" + f.app.Digest.String(): 404, "/extensions/v2/": 404,
	} {
		if resp := ask(h, "GET", path); resp.StatusCode != status {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, status)
		}
	}
	src := storetest.NewSource(t, bundle.Expanded)
	src.Add(storetest.Image{Repository: "quay.io/team/app", Tags: []string{"v1"}})
	plain := t.TempDir()
	writeStore(t, plain, src, nil)
	for dir, want := range map[string]string{f.dir: "1", plain: ""} {
		if got := ask(handler(dir), "GET", "/v2/").Header.Get("X-Registry-Supports-Signatures"); got != want {
			t.Errorf("header %q, want %q", got, want)
		}
	}
}
