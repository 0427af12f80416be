package push_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nodeseal/nodeseal/internal/pull"
	"github.com/nodeseal/nodeseal/internal/push"
)

// elsewhere takes uploads for a registry, at another address, and notes what came.
type elsewhere struct {
	mu       sync.Mutex
	requests []string
	headers  []http.Header
	received int64
}

// ServeHTTP implements http.Handler.
func (e *elsewhere) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	n, _ := io.Copy(io.Discard, req.Body) // one that breaks off is not whole: received says so
	e.mu.Lock()
	defer e.mu.Unlock()
	e.requests, e.headers, e.received = append(e.requests, req.Method), append(e.headers, req.Header.Clone()), e.received+n
	if req.Method == http.MethodPut {
		w.WriteHeader(http.StatusCreated)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// serve serves it at an address of this machine.
func (e *elsewhere) serve(t *testing.T, host string) string {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: e}}
	s.Start()
	t.Cleanup(s.Close)
	return l.Addr().String()
}

// A registry may have its uploads at another address (Location). No credentials are sent there,
// of whatever kind, and a private address must be the registry's own or be named.
func TestUploadElsewhere(t *testing.T) {
	t.Parallel()
	basic := func(w http.ResponseWriter, req *http.Request) bool {
		if req.Header.Get("Authorization") != "" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="lab"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	for _, c := range []struct {
		name, host, location string // %s stands for the other address
		signIn               func(http.ResponseWriter, *http.Request) bool
		status               int    // of a redirect of an upload's methods; 0 is a Location where it begins
		methods              string // which are redirected
		named                bool
		refused              string
	}{
		{name: "another port, password", host: "127.0.0.1", location: "http://%s/up?state=1", signIn: basic},
		{name: "another port, token", host: "127.0.0.1", location: "http://%s/up?state=1", signIn: (&checked{}).handle},
		{name: "another host, named", host: "127.0.0.2", location: "http://%s/up", signIn: basic, named: true},
		{name: "another host", host: "127.0.0.2", location: "http://%s/up", signIn: basic, refused: "add [[registry]] location = "},
		{name: "a user in it", host: "127.0.0.1", location: "http://a:b@%s/up", signIn: basic, refused: "no http or https address"},
		{name: "another scheme", host: "127.0.0.1", location: "ftp://%s/up", signIn: basic, refused: "no http or https address"},
		{name: "307 to another port", host: "127.0.0.1", location: "http://%s/up", signIn: basic, status: http.StatusTemporaryRedirect, methods: "PATCH PUT"},
		{name: "308 to another port", host: "127.0.0.1", location: "http://%s/up", signIn: (&checked{}).handle, status: http.StatusPermanentRedirect, methods: "PATCH PUT"},
		{name: "307 to another host, named", host: "127.0.0.2", location: "http://%s/up", signIn: basic, status: http.StatusTemporaryRedirect, methods: "PATCH PUT", named: true},
		{name: "307 of a POST to another host", host: "127.0.0.2", location: "http://%s/up", signIn: basic, status: http.StatusTemporaryRedirect, methods: "POST", refused: "add [[registry]] location = "},
		{name: "308 of a POST to another host", host: "127.0.0.2", location: "http://%s/up", signIn: basic, status: http.StatusPermanentRedirect, methods: "POST", refused: "add [[registry]] location = "},
		{name: "307 of a PATCH to another host", host: "127.0.0.2", location: "http://%s/up", signIn: basic, status: http.StatusTemporaryRedirect, methods: "PATCH", refused: "add [[registry]] location = "},
		{name: "308 of a PATCH to another host", host: "127.0.0.2", location: "http://%s/up", signIn: basic, status: http.StatusPermanentRedirect, methods: "PATCH", refused: "add [[registry]] location = "},
		{name: "307 of a PUT to another host", host: "127.0.0.2", location: "http://%s/up", signIn: basic, status: http.StatusTemporaryRedirect, methods: "PUT", refused: "add [[registry]] location = "},
		{name: "308 of a PUT to another host", host: "127.0.0.2", location: "http://%s/up", signIn: basic, status: http.StatusPermanentRedirect, methods: "PUT", refused: "add [[registry]] location = "},
		{name: "302 to another host", host: "127.0.0.2", location: "http://%s/up", signIn: basic, status: http.StatusFound, methods: "PATCH", refused: "add [[registry]] location = "},
		{name: "307 to a user in it", host: "127.0.0.1", location: "http://a:b@%s/up", signIn: basic, status: http.StatusTemporaryRedirect, methods: "PATCH", refused: "no http or https address"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var other elsewhere
			at := other.serve(t, c.host)
			r, addr := receive(t, false)
			r.Trouble(func(w http.ResponseWriter, req *http.Request) bool {
				if c.signIn(w, req) {
					return true
				}
				status, methods := http.StatusAccepted, http.MethodPost
				if c.status != 0 {
					status, methods = c.status, c.methods
				}
				if !strings.Contains(methods, req.Method) || !strings.Contains(req.URL.Path, "/blobs/uploads/") {
					return false
				}
				w.Header().Set("Location", fmt.Sprintf(c.location, at))
				w.WriteHeader(status)
				return true
			})
			s := newSource()
			layer := []byte(strings.Repeat("layer", 1000))
			s.image("ns/a", layer)
			o := options(t, s, addr)
			if c.named {
				o = named(t, s, addr, at)
			}
			_, err := push.Run(t.Context(), o)
			if c.refused != "" {
				if !errors.Is(err, pull.ErrAddress) || !strings.Contains(err.Error(), c.refused) || strings.Contains(err.Error(), "a:b@") {
					t.Errorf("error %v, want %q", err, c.refused)
				}
				if len(other.requests) > 0 {
					t.Errorf("it was sent %q", other.requests)
				}
				return
			}
			if err != nil {
				t.Error(err)
			}
			if other.received < int64(len(layer)) {
				t.Errorf("%d bytes of %d came, with %q", other.received, len(layer), other.requests)
			}
			for i, h := range other.headers {
				for _, name := range []string{"Authorization", "Cookie", "Proxy-Authorization"} {
					if h.Get(name) != "" {
						t.Errorf("%s came with %s: %s", other.requests[i], name, h.Get(name))
					}
				}
			}
		})
	}
}

// named is options with a registries.conf that names another address.
func named(t *testing.T, s push.Source, addr, other string) push.Options {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "registries.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "[[registry]]\nlocation = %q\n", other), 0o600); err != nil {
		t.Fatal(err)
	}
	return optionsWith(t, s, addr, conf)
}
