package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nodeseal/nodeseal/internal/testenv"
	"github.com/nodeseal/nodeseal/internal/testregistry"
)

// guarded is a registry over TLS, by a private authority, that lets in who
// knows the password: of it, or of the service that gives out its tokens.
type guarded struct {
	*httptest.Server
	ca     *testenv.Authority
	inner  http.Handler
	bearer bool
	uses   int // what a token is good for

	mu     sync.Mutex
	valid  map[string]int
	scopes []string // of the tokens so far
	turned int      // requests that were turned away with a token
}

const guardUser, guardPassword = "eng", "s3cret"

// guard puts a guarded registry in the place of m's own.
func (m *mirrored) guard(bearer bool) *guarded {
	m.t.Helper()
	m.registry = &testregistry.Registry{Content: m.registry.Content}
	g := &guarded{ca: testenv.NewAuthority(m.t), inner: m.registry, bearer: bearer, uses: 5, valid: make(map[string]int)}
	g.Server = httptest.NewUnstartedServer(g)
	g.TLS = g.ca.ServerTLS(m.t)
	g.StartTLS()
	m.t.Cleanup(g.Close)
	m.conf("location = %q\n", g.host())
	return g
}

func (g *guarded) host() string { return g.Listener.Addr().String() }

// conf writes what registries.conf says about registry.example.
func (m *mirrored) conf(format string, args ...any) {
	m.t.Helper()
	text := "[[registry]]\nprefix = \"registry.example\"\n" + fmt.Sprintf(format, args...)
	check(m.t, os.WriteFile(m.path("registries.conf"), []byte(text), 0o600))
}

// ServeHTTP implements http.Handler.
func (g *guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	knows := user == guardUser && password == guardPassword
	switch {
	case r.URL.Path == "/token" && knows:
		g.issue(w, r.URL.Query().Get("scope"))
		return
	case r.URL.Path == "/token":
		w.WriteHeader(http.StatusUnauthorized)
		return
	case g.bearer && !g.use(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")):
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="https://%s/token",service="lab"`, r.Host))
	case !g.bearer && !knows:
		w.Header().Set("WWW-Authenticate", `Basic realm="lab"`)
	default:
		g.inner.ServeHTTP(w, r)
		return
	}
	w.WriteHeader(http.StatusUnauthorized)
}

func (g *guarded) issue(w http.ResponseWriter, scope string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	token := rand.Text()
	g.valid[token] = g.uses
	g.scopes = append(g.scopes, scope)
	_ = json.NewEncoder(w).Encode(map[string]string{"token": token})
}

// use takes one use off a token, and reports whether it had one left.
func (g *guarded) use(token string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	left := g.valid[token]
	if left == 0 {
		if token != "" {
			g.turned++
		}
		return false
	}
	g.valid[token]--
	return true
}

// expire ends all tokens.
func (g *guarded) expire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.valid)
}

// TestBundleSignedIn mirrors from registries that want a password or a token,
// over TLS by a private authority, with the credentials wherever users keep
// them. The bundle is that of an open registry.
func TestBundleSignedIn(t *testing.T) {
	t.Parallel()
	authFile := func(t *testing.T, g *guarded) string {
		t.Helper()
		return testenv.AuthFile(t, map[string]string{g.host(): guardUser + ":" + guardPassword})
	}
	ways := map[string]func(t *testing.T, g *guarded, cmd *exec.Cmd){
		"authfile": func(t *testing.T, g *guarded, cmd *exec.Cmd) {
			t.Helper()
			cmd.Args = append(cmd.Args, "--authfile", authFile(t, g))
		},
		"NODESEAL_AUTHFILE": func(t *testing.T, g *guarded, cmd *exec.Cmd) {
			t.Helper()
			cmd.Env = append(cmd.Env, "NODESEAL_AUTHFILE="+authFile(t, g), "REGISTRY_AUTH_FILE=/nowhere")
		},
		"REGISTRY_AUTH_FILE": func(t *testing.T, g *guarded, cmd *exec.Cmd) {
			t.Helper()
			cmd.Env = append(cmd.Env, "REGISTRY_AUTH_FILE="+authFile(t, g))
		},
		"the user's auth.json": func(t *testing.T, g *guarded, cmd *exec.Cmd) {
			t.Helper()
			dir := t.TempDir()
			check(t, os.Mkdir(filepath.Join(dir, "containers"), 0o700))
			check(t, os.Rename(authFile(t, g), filepath.Join(dir, "containers", "auth.json")))
			cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR="+dir)
		},
		"each repository's own": func(t *testing.T, g *guarded, cmd *exec.Cmd) {
			t.Helper()
			passwords := map[string]string{g.host(): "eng:guess"}
			for i := range 3 {
				passwords[fmt.Sprintf("%s/team/image%d", g.host(), i)] = guardUser + ":" + guardPassword
			}
			cmd.Args = append(cmd.Args, "--authfile", testenv.AuthFile(t, passwords))
		},
	}
	for name, signIn := range ways {
		for kind, bearer := range map[string]bool{"password": false, "token": true} {
			t.Run(kind+" by "+name, func(t *testing.T) {
				t.Parallel()
				m := newMirrored(t)
				want := undisturbed(t)
				g := m.guard(bearer)
				cmd := m.command("run", "--cert-dir", g.ca.CertDir(t))
				cmd.Env = os.Environ()
				signIn(t, g, cmd)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				if got := m.sum("run"); got != want {
					t.Errorf("%s, from an open registry %s", got, want)
				}
				for _, scope := range g.scopes {
					if !strings.HasPrefix(scope, "repository:team/image") || !strings.HasSuffix(scope, ":pull") {
						t.Errorf("a token for %q", scope)
					}
				}
				if (len(g.scopes) > 0) != bearer {
					t.Errorf("%d tokens", len(g.scopes))
				}
			})
		}
	}
}

// TestBundleTokenEnds lets the tokens end while a layer is on its way, again and
// again: the rest is fetched with new ones, and no byte that came comes again.
func TestBundleTokenEnds(t *testing.T) {
	t.Parallel()
	m := newMirrored(t)
	want := undisturbed(t)
	g := m.guard(true)
	g.uses = 3
	m.registry.Trouble = func(q testregistry.Request) testregistry.Fault {
		if q.Blob == m.layers[3].Digest && q.Times < 4 {
			g.expire()
			return testregistry.Fault{After: 100_000}
		}
		return testregistry.Fault{}
	}
	login := testenv.AuthFile(t, map[string]string{g.host(): guardUser + ":" + guardPassword})
	// One request at a time: several could use up a new token before the one that
	// asked for it, again and again.
	if got := m.bundle("run", "--per-host", "1", "--cert-dir", g.ca.CertDir(t), "--authfile", login); got != want {
		t.Errorf("%s, from an open registry %s", got, want)
	}
	if g.turned < 4 || len(g.scopes) < 5 {
		t.Errorf("%d requests with an ended token, %d tokens: they did not end in the middle", g.turned, len(g.scopes))
	}
	// What is in the sockets when a connection breaks is lost.
	if size, served := m.layers[3].Size, m.registry.Served(m.layers[3].Digest); served > size+4*100_000 {
		t.Errorf("%d bytes came for a layer of %d", served, size)
	}
}

// TestBundleNotLetIn holds what is said to who has no credentials, wrong ones,
// or not the authority.
func TestBundleNotLetIn(t *testing.T) {
	t.Parallel()
	right := guardUser + ":" + guardPassword
	for name, tt := range map[string]struct {
		password string // of the host
		trusted  bool
		want     []string
	}{
		"no credentials":    {"", true, []string{"401", "log in (podman login"}},
		"wrong password":    {"eng:guess", true, []string{"401", "log in (podman login"}},
		"unknown authority": {right, false, []string{"certificate signed by unknown authority"}},
	} {
		for kind, bearer := range map[string]bool{"password": false, "token": true} {
			t.Run(kind+", "+name, func(t *testing.T) {
				t.Parallel()
				m := newMirrored(t)
				g := m.guard(bearer)
				passwords := map[string]string{"elsewhere.example": right}
				if tt.password != "" {
					passwords[g.host()] = tt.password
				}
				cmd := m.command("run", "--authfile", testenv.AuthFile(t, passwords))
				if tt.trusted {
					cmd.Args = append(cmd.Args, "--cert-dir", g.ca.CertDir(t))
				}
				out, err := cmd.CombinedOutput()
				if exitOf(err) != exitFailed {
					t.Errorf("%v", err)
				}
				for _, want := range append(tt.want, g.host()+"/team/image") {
					if !bytes.Contains(out, []byte(want)) {
						t.Errorf("nothing about %q in:\n%s", want, out)
					}
				}
				if bytes.Contains(out, []byte(guardPassword)) {
					t.Errorf("the password is in:\n%s", out)
				}
				if left, _ := filepath.Glob(m.path("run.tar.zst*")); len(left) != 0 {
					t.Errorf("left: %q", left)
				}
			})
		}
	}
}
