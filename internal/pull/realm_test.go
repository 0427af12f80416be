package pull_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/pull"
	"github.com/nodeseal/nodeseal/internal/pull/session"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// tokenServer serves the tokens of s on its own, at an address of this machine.
func tokenServer(t *testing.T, s *tokens, address string) string {
	t.Helper()
	l, err := net.Listen("tcp", address+":0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(s.issue)}}
	srv.Start()
	t.Cleanup(srv.Close)
	return l.Addr().String()
}

// A staging registry has its token server at another port (docker_auth, GitLab) or
// at another private address.
func TestTokenServerOnPrivateAddress(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, address string
		dns           string // in the place of the address
		named         bool
		allowed       bool
	}{
		{name: "the registry's address, another port", address: "127.0.0.1", allowed: true},
		{name: "another address in registries.conf", address: "127.0.0.2", named: true, allowed: true},
		{name: "another address that was not named", address: "127.0.0.2"},
		{name: "a DNS name is not judged by its address", address: "127.0.0.1", dns: "localhost", allowed: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &tokens{uses: 2, valid: map[string]int{}}
			realm := tokenServer(t, s, tt.address)
			if tt.dns != "" {
				realm = tt.dns + strings.TrimPrefix(realm, tt.address)
			}
			r := newRegistry(t, httptest.NewServer, func(next http.Handler) http.Handler {
				return s.wrapFor(realm, next)
			})
			push(t, "acme/app", "v1", layerSize, r)
			conf := filepath.Join(t.TempDir(), "registries.conf")
			text := "unqualified-search-registries = []\n"
			if tt.named {
				text += fmt.Sprintf("[[registry]]\nlocation = %q\n", realm)
			}
			if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			c, _ := newClient(t, pull.Options{RegistriesConf: conf, AuthFile: testenv.AuthFile(t, map[string]string{r.host: "eng:s3cret"})})
			for range 5 { // tokens are renewed on the way
				_, err := c.Manifest(t.Context(), r.host+"/acme/app:v1")
				var refused *session.RealmError
				switch {
				case tt.allowed && err != nil:
					t.Fatal(err)
				case !tt.allowed && (!errors.As(err, &refused) || refused.TokenServer != realm || !strings.Contains(err.Error(), "registries.conf")):
					t.Fatalf("error %v, want a RealmError", err)
				}
			}
			if tt.allowed != (s.issued > 0) {
				t.Errorf("%d tokens issued", s.issued)
			}
		})
	}
}
