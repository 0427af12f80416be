package pull_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/pull"
)

// serveAt serves on a loopback address.
func serveAt(t *testing.T, ip string, h http.HandlerFunc) string {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

// TestExternal: which addresses of a layer are asked, and where they may send. The registry is
// at 127.0.0.1; 127.0.0.2 stands for another service of this machine.
func TestExternal(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("layer "), 1000)
	var asked, inside atomic.Int64
	service := serveAt(t, "127.0.0.2", func(w http.ResponseWriter, _ *http.Request) {
		inside.Add(1)
		_, _ = w.Write(content)
	})
	var away string
	away = serveAt(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		for _, name := range []string{"Authorization", "Cookie", "Referer"} {
			if r.Header.Get(name) != "" {
				t.Errorf("%s was sent", name)
			}
		}
		to := r.URL.Query().Get("to")
		if r.URL.Path == "/user" {
			to = strings.Replace(away, "//", "//user:secret@", 1)
		}
		var hops int
		switch _, err := fmt.Sscanf(r.URL.Path, "/hops/%d", &hops); {
		case err == nil && hops > 0:
			http.Redirect(w, r, fmt.Sprintf("%s/hops/%d", away, hops-1), http.StatusTemporaryRedirect)
		case to != "":
			w.Header().Set("Set-Cookie", "a=b")
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
		case r.URL.Path == "/gone":
			http.NotFound(w, r)
		default:
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
		}
	})
	gone := strings.Split(strings.Repeat(away+"/gone ", 40), " ")[:40]
	for name, tt := range map[string]struct {
		urls  []string
		asked int64 // requests, at most
		want  error // nil: the blob comes
	}{
		"right":                           {[]string{away + "/blob"}, 1, nil},
		"five redirects":                  {[]string{away + "/hops/5"}, 6, nil},
		"six redirects":                   {[]string{away + "/hops/6"}, 6, errAnything},
		"redirects without end":           {[]string{away + "/hops/1000"}, 6, errAnything},
		"the eighth":                      {append(gone[:7:7], away+"/blob"), 8, nil},
		"the ninth":                       {append(gone[:8:8], away+"/blob"), 8, pull.ErrAddress},
		"another service of this machine": {[]string{service + "/blob"}, 0, pull.ErrAddress},
		"a redirect to it":                {[]string{away + "/?to=" + service}, 1, pull.ErrAddress},
		"another address of this machine": {[]string{strings.Replace(service, "127.0.0.2", "0.0.0.0", 1)}, 0, pull.ErrAddress},
		"it as IPv6":                      {[]string{strings.Replace(service, "127.0.0.2", "[::ffff:127.0.0.2]", 1)}, 0, pull.ErrAddress},
		"IPv6 loopback":                   {[]string{"http://[::1]:80/"}, 0, pull.ErrAddress},
		"link-local, as clouds have it":   {[]string{"http://169.254.169.254/latest/meta-data"}, 0, pull.ErrAddress},
		"a redirect to that":              {[]string{away + "/?to=http://169.254.169.254/latest/meta-data"}, 1, pull.ErrAddress},
		"a private network":               {[]string{"http://10.255.255.1/"}, 0, pull.ErrAddress},
		"a redirect to a private network": {[]string{away + "/?to=http://192.168.255.1/"}, 1, pull.ErrAddress},
		"a file":                          {[]string{"file:///etc/passwd"}, 0, pull.ErrAddress},
		"a redirect to a file":            {[]string{away + "/?to=file:///etc/passwd"}, 1, pull.ErrAddress},
		"a redirect with a user's name":   {[]string{away + "/user"}, 1, pull.ErrAddress},
		"a redirect to nowhere":           {[]string{away + "/?to=%0a"}, 1, errAnything},
		"the registry by another name":    {[]string{strings.Replace(away, "127.0.0.1", "localhost", 1) + "/blob"}, 1, nil},
		"after one that may not be asked": {[]string{service, away + "/blob"}, 1, nil},
	} {
		t.Run(name, func(t *testing.T) { // one after the other: they count
			asked.Store(0)
			c, _ := newClient(t, pull.Options{})
			body, err := c.External(t.Context(), "127.0.0.1:5000/ns/app@"+digest.FromString("x").String(), tt.urls, digest.FromBytes(content), int64(len(content)), 10)
			if err == nil {
				got, err := io.ReadAll(body)
				if err := errors.Join(err, body.Close()); err != nil || !bytes.Equal(got, content[10:]) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			}
			switch {
			case tt.want == nil && err != nil, tt.want != nil && err == nil, tt.want != nil && !errors.Is(tt.want, errAnything) && !errors.Is(err, tt.want):
				t.Errorf("%v, want %v", err, tt.want)
			case err != nil && strings.Contains(err.Error(), "secret"):
				t.Errorf("a password is repeated: %v", err)
			}
			if n := asked.Load(); n > tt.asked {
				t.Errorf("%d requests, want %d at most", n, tt.asked)
			}
			if inside.Load() > 0 {
				t.Error("a service of this machine was asked")
			}
		})
	}
}

var errAnything = errors.New("any error")

// TestExternalNamed: an address of a private network that registries.conf names is dialled.
func TestExternalNamed(t *testing.T) {
	t.Parallel()
	conf := filepath.Join(t.TempDir(), "registries.conf")
	if err := os.WriteFile(conf, []byte("[[registry]]\nlocation = \"10.255.255.1:81\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _ := newClient(t, pull.Options{RegistriesConf: conf, StallTimeout: 1})
	_, err := c.External(t.Context(), "127.0.0.1:5000/ns/app:v1", []string{"http://10.255.255.1:81/"}, digest.FromString("x"), 1, 0)
	if err == nil || errors.Is(err, pull.ErrAddress) {
		t.Errorf("%v, want that it cannot be reached", err)
	}
}
