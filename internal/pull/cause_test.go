package pull_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/pull"
	"github.com/nodeseal/nodeseal/internal/pull/session"
)

// page answers as a portal does where people sign in.
func page(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, "<!DOCTYPE html>\n<html><body>Sign in</body></html>")
}

// The error names the server that answers with a web page, whatever was asked for.
func TestWebPage(t *testing.T) {
	t.Parallel()
	r := plain(t)
	img := push(t, "acme/app", "v1", layerSize, r)
	c, n := newClient(t, pull.Options{})
	ref := r.host + "/acme/app:v1"
	want := func(what string, err error) {
		t.Helper()
		var page *pull.WebPageError
		if !errors.As(err, &page) || page.Server != r.host || !strings.Contains(err.Error(), "answered with a web page, not with a "+what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	r.fail("/blobs/", always, page)
	want("blob", readBlob(t, c, ref, img, 0))
	want("blob", readBlob(t, c, ref, img, 10))
	r.fail("/manifests/", always, page)
	_, err := c.Manifest(t.Context(), ref)
	want("manifest", err)
	_, err = c.Head(t.Context(), ref)
	want("manifest", err)
	if len(n.list) > 0 {
		t.Errorf("waits %v: a page does not go away", n.list)
	}
}

// The error names the token server that answers with something else than a token.
func TestTokenServerWithoutJSON(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ contentType, body, want string }{
		"a page":       {"text/html", "<html>Sign in</html>", "answered with a web page, not with a token"},
		"a page early": {"", "\n\n <html>Sign in</html>", "not with a token"},
		"text":         {"text/plain", "no", "answered with something that is no JSON"},
		"nothing":      {"application/json", "", "not with a token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, httptest.NewServer, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/token" {
						w.Header().Set("Content-Type", tt.contentType)
						fmt.Fprint(w, tt.body)
						return
					}
					w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token",service="x"`)
					w.WriteHeader(http.StatusUnauthorized)
				})
			})
			c, _ := newClient(t, pull.Options{})
			_, err := c.Manifest(t.Context(), r.host+"/acme/app:v1")
			var token *session.TokenError
			if !errors.As(err, &token) || token.Server != r.host || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// Of a mirror that refuses and a source that cannot be reached, the mirror decides.
func TestMirrorRefuses(t *testing.T) {
	t.Parallel()
	mirror, gone := plain(t), plain(t)
	gone.Close()
	mirror.fail("manifests", always, status(http.StatusUnauthorized))
	for name, source := range map[string]string{"no connection": gone.host, "no such host": "quay.invalid"} {
		c, _ := newClient(t, pull.Options{RegistriesConf: conf(t, "", mirror.host, source)})
		_, err := c.Manifest(t.Context(), "quay.example/acme/app:v1")
		if !errors.Is(err, pull.ErrUnauthorized) || !strings.Contains(err.Error(), source) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
