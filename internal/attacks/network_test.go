//go:build attacks

package attacks

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// kubeconfig writes a configuration that sends a token to the server.
func kubeconfig(t *testing.T, server string) string {
	t.Helper()
	return write(t, "kubeconfig", `{"apiVersion":"v1","kind":"Config","current-context":"c",
"clusters":[{"name":"c","cluster":{"server":"`+server+`"}}],"users":[{"name":"u","user":{"token":"hunter2"}}],
"contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}]}`)
}

// TestEndlessServer asks an API server whose answer has no end.
func TestEndlessServer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"kind":"List","metadata":{"x":"`)
		_, _ = io.Copy(w, &repeated{each: "a", left: 3 << 30}) // more than it may answer
	}))
	t.Cleanup(server.Close)
	attack{
		Name: "network: an API server's answer without an end", Before: "2.4 GB",
		Exit: 1, Says: "the answer does not end",
	}.run(t, "list", "--cluster", "--kubeconfig", kubeconfig(t, server.URL))
}

// TestEndlessPage asks an API server that says right which kinds it has, and whose page of
// pods has one without an end.
func TestEndlessPage(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/api":
			_, _ = io.WriteString(w, `{"kind":"APIVersions","versions":["v1"]}`)
		case "/apis":
			_, _ = io.WriteString(w, `{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`)
		case "/api/v1":
			_, _ = io.WriteString(w, `{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"pods","singularName":"pod","namespaced":true,"kind":"Pod","verbs":["get","list"]}]}`)
		default:
			_, _ = io.WriteString(w, `{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[{"metadata":{"name":"`)
			_, _ = io.Copy(w, &repeated{each: "a", left: 3 << 30})
		}
	}))
	t.Cleanup(server.Close)
	attack{
		Name: "network: an API server's page of which an object has no end", Before: "not tried",
		Exit: 3, Says: "an object of more than 16 MiB",
	}.run(t, "list", "--cluster", "--kubeconfig", kubeconfig(t, server.URL))
}

// TestRedirect asks an API server that sends the client to another host.
func TestRedirect(t *testing.T) {
	var got atomic.Value
	got.Store("")
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got.Store("asked " + r.Header.Get("Authorization"))
	}))
	t.Cleanup(other.Close)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(server.Close)
	attack{
		Name: "network: an API server that redirects to another host", Before: "the token goes there",
		Exit: 1, Silent: "hunter2",
		After: func(t *testing.T, _ outcome) {
			if s, _ := got.Load().(string); strings.Contains(s, "hunter2") {
				t.Errorf("the other host got the token: %q", s)
			}
		},
	}.run(t, "list", "--cluster", "--kubeconfig", kubeconfig(t, server.URL))
}

// TestLongIndex asks for the instance of a platform that a list of 40,000 does not have.
func TestLongIndex(t *testing.T) {
	index := v1.Index{MediaType: v1.MediaTypeImageIndex}
	index.SchemaVersion = 2
	for i := range 40_000 {
		index.Manifests = append(index.Manifests, v1.Descriptor{
			MediaType: v1.MediaTypeImageManifest, Digest: digest.FromString(fmt.Sprint(i)), Size: 1,
			Platform: &v1.Platform{OS: "linux", Architecture: fmt.Sprintf("made-up-%d", i)},
		})
	}
	data, err := json.Marshal(index)
	must(t, err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/manifests/") {
			w.Header().Set("Content-Type", v1.MediaTypeImageIndex)
			_, _ = w.Write(data)
		}
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	host := strings.TrimPrefix(server.URL, "http://")
	conf := write(t, "registries.conf", fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n", host))
	attack{
		Name: "network: an index of 40,000 entries, none for the platform", Before: "an error line of 520 kB",
		Exit: 1,
		After: func(t *testing.T, o outcome) {
			if n := len(o.Stdout) + len(o.Stderr); n > 8<<10 {
				t.Errorf("it prints %d bytes:\n%.2000s", n, o.Stderr)
			}
		},
	}.run(t, "bundle", "--images", write(t, "images.lst", host+"/a/b@"+digest.FromBytes(data).String()+"\n"), "--registries-conf", conf,
		"--work", filepath.Join(dir, "work"), "-o", filepath.Join(dir, "x.tar.zst"))
}
