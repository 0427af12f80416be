package pull_test

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/internal/pull"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// basicAuth lets in who knows the password.
func basicAuth(user, pass string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			u, p, _ := r.BasicAuth()
			if r.Header.Get("X-Push") == "" && (u != user || p != pass) {
				w.Header().Set("WWW-Authenticate", `Basic realm="lab"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func TestBasicAuth(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, httptest.NewServer, basicAuth("eng", "s3cret"))
	img := push(t, "acme/app", "v1", 1000, r)
	for _, tt := range []struct {
		name, key, userpass string
		want                error
	}{
		{"of the host", r.host, "eng:s3cret", nil},
		{"of the repository", r.host + "/acme/app", "eng:s3cret", nil},
		{"of another repository", r.host + "/acme/other", "eng:s3cret", pull.ErrUnauthorized},
		{"wrong", r.host, "eng:guess", pull.ErrUnauthorized},
		{"none", "elsewhere.example", "eng:s3cret", pull.ErrUnauthorized},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, n := newClient(t, pull.Options{AuthFile: testenv.AuthFile(t, map[string]string{tt.key: tt.userpass})})
			m, err := c.Manifest(t.Context(), r.host+"/acme/app:v1")
			if !errors.Is(err, tt.want) || (err == nil && m.Digest != img.manifest) || len(n.list) != 0 {
				t.Fatalf("Manifest = %s, %v, waits %v, want %v", m.Digest, err, n.list, tt.want)
			}
		})
	}
}

// A repository's own credentials go before its host's.
func TestCredentialsByRepository(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, httptest.NewServer, basicAuth("robot", "app"))
	push(t, "acme/app", "v1", 1000, r)
	c, _ := newClient(t, pull.Options{AuthFile: testenv.AuthFile(t, map[string]string{
		r.host: "eng:host", r.host + "/acme": "eng:org", r.host + "/acme/app": "robot:app",
	})})
	if _, err := c.Manifest(t.Context(), r.host+"/acme/app:v1"); err != nil {
		t.Fatal(err)
	}
}

// tokens is a bearer token service in front of a registry. A token is good for
// so many requests.
type tokens struct {
	uses int

	mu     sync.Mutex
	issued int
	valid  map[string]int
	scopes []string
	fail   int // status of the next answers of the token service
	fails  int
}

func (s *tokens) wrap(next http.Handler) http.Handler { return s.wrapFor("", next) }

// wrapFor sends to the token server at realm, host:port; "" is the registry itself.
func (s *tokens) wrapFor(realm string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Push") != "" {
			next.ServeHTTP(w, r)
			return
		}
		if r.URL.Path == "/token" {
			s.issue(w, r)
			return
		}
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		s.mu.Lock()
		ok := s.valid[token] > 0
		s.valid[token]--
		s.mu.Unlock()
		if !ok {
			scheme := "http"
			if r.TLS != nil && realm == "" {
				scheme = "https"
			}
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s://%s/token",service="lab"`, scheme, cmp.Or(realm, r.Host)))
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *tokens) issue(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails > 0 {
		s.fails--
		w.Header().Set("Retry-After", "4")
		w.WriteHeader(s.fail)
		return
	}
	if u, p, _ := r.BasicAuth(); u != "eng" || p != "s3cret" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	s.scopes = append(s.scopes, r.URL.Query().Get("scope"))
	token := rand.Text()
	s.issued++
	s.valid[token] = s.uses
	_ = json.NewEncoder(w).Encode(map[string]string{"token": token})
}

// revoke ends all tokens at once.
func (s *tokens) revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.valid)
}

func TestBearerTokenIsRenewed(t *testing.T) {
	t.Parallel()
	s := &tokens{uses: 3, valid: map[string]int{}}
	r := newRegistry(t, httptest.NewServer, s.wrap)
	img := push(t, "acme/app", "v1", layerSize, r)
	c, n := newClient(t, pull.Options{AuthFile: testenv.AuthFile(t, map[string]string{r.host: "eng:s3cret"})})
	ref := r.host + "/acme/app:v1"
	for range 8 {
		if _, err := c.Manifest(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
	}
	r.fail("blobs", 1, func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		s.revoke() // the token ends while the blob is on its way
		breakAfter(70_000, abort)(w, req, next)
	})
	// The fault stands before the token check: it sends what that lets through.
	if err := readBlob(t, c, ref, img, 0); err != nil {
		t.Fatal(err)
	}
	if s.issued < 4 {
		t.Errorf("%d tokens for 10 requests at 3 a token, want at least 4", s.issued)
	}
	for _, scope := range s.scopes {
		if scope != "repository:acme/app:pull" {
			t.Errorf("token for %q", scope)
		}
	}
	if len(n.list) > 1 {
		t.Errorf("waits %v: an ended token is no failure", n.list)
	}
}

func TestBearerTokenEndsForManyAtOnce(t *testing.T) {
	t.Parallel()
	s := &tokens{uses: always, valid: map[string]int{}}
	r := newRegistry(t, httptest.NewServer, s.wrap)
	push(t, "acme/app", "v1", 1000, r)
	c, n := newClient(t, pull.Options{AuthFile: testenv.AuthFile(t, map[string]string{r.host: "eng:s3cret"})})
	for range 5 {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := c.Manifest(t.Context(), r.host+"/acme/app:v1"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		s.revoke()
	}
	if len(n.list) != 0 {
		t.Errorf("waits %v: an ended token is no failure", n.list)
	}
}

func TestTokenServiceFails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status, times int
	}{
		{http.StatusTooManyRequests, 1},
		{http.StatusServiceUnavailable, 2},
		{http.StatusForbidden, always},
		{http.StatusNotFound, always},
	} {
		t.Run(http.StatusText(tt.status), func(t *testing.T) {
			t.Parallel()
			s := &tokens{uses: always, valid: map[string]int{}, fail: tt.status, fails: tt.times}
			r := newRegistry(t, httptest.NewServer, s.wrap)
			push(t, "acme/app", "v1", 1000, r)
			c, n := newClient(t, pull.Options{AuthFile: testenv.AuthFile(t, map[string]string{r.host: "eng:s3cret"})})
			_, err := c.Manifest(t.Context(), r.host+"/acme/app:v1")
			if tt.times != always {
				if err != nil || len(n.list) != tt.times || n.list[0] < 4*time.Second {
					t.Fatalf("error %v, waits %v", err, n.list)
				}
				return
			}
			var answer *pull.StatusError
			if !errors.As(err, &answer) || !answer.SignIn || answer.Status != tt.status {
				t.Fatalf("error %v, want status %d at sign-in", err, tt.status)
			}
			if denied := tt.status == http.StatusForbidden; errors.Is(err, pull.ErrDenied) != denied {
				t.Errorf("%v is ErrDenied: %t", err, !denied)
			}
			if errors.Is(err, pull.ErrNotFound) {
				t.Errorf("%v says that the image is not there", err)
			}
		})
	}
}

// An object storage that a registry sends us to learns no credentials, and
// one in clear neither if the registry is not; the registry itself is asked as it was before.
func TestRedirectLeaksNoCredentials(t *testing.T) {
	t.Parallel()
	for name, wrap := range map[string]func(http.Handler) http.Handler{
		"basic":  basicAuth("eng", "s3cret"),
		"bearer": (&tokens{uses: always, valid: map[string]int{}}).wrap,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storage := plain(t)
			r := newRegistry(t, httptest.NewTLSServer, wrap)
			img := push(t, "acme/app", "v1", layerSize, r, storage)
			r.fail("GET /v2/acme/app/blobs", always, func(w http.ResponseWriter, req *http.Request, next http.Handler) {
				rec := answer(req, next)
				if rec.Code >= 300 {
					copyHeader(w, rec)
					w.WriteHeader(rec.Code)
					return
				}
				if !req.URL.Query().Has("again") {
					http.Redirect(w, req, "http://"+r.host+req.URL.Path+"?again", http.StatusTemporaryRedirect)
					return
				}
				http.Redirect(w, req, storage.URL+req.URL.Path+"?signature=hush", http.StatusTemporaryRedirect)
			})
			storage.fail("blobs", 1, breakAfter(70_000, abort))
			c, _ := newClient(t, pull.Options{TLSVerify: new(bool), AuthFile: testenv.AuthFile(t, map[string]string{r.host: "eng:s3cret"})})
			if err := readBlob(t, c, r.host+"/acme/app:v1", img, 0); err != nil {
				t.Fatal(err)
			}
			asked := storage.asked("blobs")
			if len(asked) != 2 || asked[1].rng == "" {
				t.Errorf("the storage was asked %+v, want a second time with a range", asked)
			}
			for _, q := range asked {
				if q.auth != "" {
					t.Errorf("the storage was told %q", q.auth)
				}
			}
		})
	}
}

// The address that a registry redirects to is signed: errors do not repeat the signature.
func TestErrorsHideSignedAddresses(t *testing.T) {
	t.Parallel()
	r := plain(t)
	img := push(t, "acme/app", "v1", 1000, r)
	r.fail("blobs", always, func(w http.ResponseWriter, req *http.Request, _ http.Handler) {
		http.Redirect(w, req, "http://eng:pw@127.0.0.1:1/blob?signature=hush", http.StatusTemporaryRedirect)
	})
	c, _ := newClient(t, pull.Options{Retries: -1})
	err := readBlob(t, c, r.host+"/acme/app:v1", img, 0)
	if err == nil || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "pw@") {
		t.Fatalf("error %v", err)
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, httptest.NewTLSServer, nil)
	img := push(t, "acme/app", "v1", 1000, r)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw})
	with := func(dir string) string {
		base := t.TempDir()
		if err := os.MkdirAll(filepath.Join(base, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(base, dir, "ca.crt"), ca, 0o600); err != nil {
			t.Fatal(err)
		}
		return base
	}
	yes, no := true, false
	insecure := fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n", r.host)
	for _, tt := range []struct {
		name string
		o    pull.Options
		ok   bool
	}{
		{"authority in the folder", pull.Options{CertDir: with("")}, true},
		{"authority in the host's folder", pull.Options{CertDir: with(r.host)}, true},
		{"authority in another host's folder", pull.Options{CertDir: with("elsewhere:5000")}, false},
		{"unknown authority", pull.Options{}, false},
		{"not verified", pull.Options{TLSVerify: &no}, true},
		{"insecure by registries.conf", pull.Options{RegistriesConf: writeFile(t, "registries.conf", insecure)}, true},
		{"verified in spite of registries.conf", pull.Options{TLSVerify: &yes, RegistriesConf: writeFile(t, "registries.conf", insecure)}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, n := newClient(t, tt.o)
			m, err := c.Manifest(t.Context(), r.host+"/acme/app:v1")
			if tt.ok && (err != nil || m.Digest != img.manifest) {
				t.Fatalf("Manifest = %v", err)
			}
			if !tt.ok && (err == nil || len(n.list) != 0 || !strings.Contains(err.Error(), "certificate")) {
				t.Fatalf("error %v after %v, want one about the certificate at once", err, n.list)
			}
		})
	}
}

func TestPlainHTTPOnlyWhereAllowed(t *testing.T) {
	t.Parallel()
	r := plain(t)
	push(t, "acme/app", "v1", 1000, r)
	yes, no := true, false
	for verify, ok := range map[*bool]bool{nil: true, &no: true, &yes: false} {
		c, n := newClient(t, pull.Options{TLSVerify: verify})
		_, err := c.Manifest(t.Context(), r.host+"/acme/app:v1")
		if (err == nil) != ok || len(n.list) != 0 {
			t.Errorf("TLSVerify %v: %v, want success: %t", verify, err, ok)
		}
		if !ok && !errors.Is(err, http.ErrSchemeMismatch) {
			t.Errorf("error %v, want http.ErrSchemeMismatch", err)
		}
	}
}

func TestNewChecksFiles(t *testing.T) {
	t.Parallel()
	gone := filepath.Join(t.TempDir(), "gone")
	bad := writeFile(t, "registries.conf", "[[registry]]\nlocation = 7\n")
	for _, o := range []pull.Options{{RegistriesConf: gone}, {AuthFile: gone}, {CertDir: gone}, {RegistriesConf: bad}} {
		if _, err := pull.New(o); err == nil {
			t.Errorf("New(%+v) gave no error", o)
		}
	}
}
