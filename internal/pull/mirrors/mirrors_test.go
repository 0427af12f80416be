package mirrors_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/types"

	"github.com/nodeseal/nodeseal/internal/pull/mirrors"
)

const sum = "@sha256:b5b2b2c507a0944348e0303114d8d93aaaa081732b86451d9bce1f432a537bc7"

// system is a registries.conf and its drop-in files.
func system(t *testing.T, conf string, dropIns ...string) *types.SystemContext {
	t.Helper()
	dir := t.TempDir()
	file, folder := filepath.Join(dir, "registries.conf"), filepath.Join(dir, "registries.conf.d")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, d := range dropIns {
		if err := os.WriteFile(filepath.Join(folder, string(rune('a'+i))+".conf"), []byte(d), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &types.SystemContext{SystemRegistriesConfPath: file, SystemRegistriesConfDirPath: folder}
}

const conf = `
[[registry]]
prefix = "quay.io/acme"
location = "real.example/acme"
[[registry.mirror]]
location = "m1.example:5000/a"
[[registry.mirror]]
location = "m2.example/b"
pull-from-mirror = "digest-only"
insecure = true

[[registry]]
prefix = "*.lab.example"
[[registry.mirror]]
location = "m3.example/lab"

[[registry]]
location = "shut.example"
blocked = true
[[registry.mirror]]
location = "m4.example"

[[registry]]
location = "open.example"
insecure = true

[[registry]]
location = "proxied.example"
[[registry.mirror]]
location = "proxy.example"
namespace-proxy = "proxied.example"
`

// show writes an endpoint with what is particular of it.
func show(e mirrors.Endpoint) string {
	s := strings.TrimSuffix(e.Ref.String(), sum)
	if e.Insecure {
		s += " insecure"
	} else if e.PlainHTTP {
		s += " http"
	}
	if e.Namespace != "" {
		s += " ns=" + e.Namespace
	}
	if errors.Is(e.Blocked, mirrors.ErrBlocked) {
		s += " blocked"
	}
	return s
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	sys := system(t, conf, "[[registry]]\nlocation = \"dropped.example\"\n[[registry.mirror]]\nlocation = \"m5.example\"\n")
	rules := []mirrors.Rule{
		{Source: "ruled.example/a", Mirrors: []string{"r1.example/a"}, Use: mirrors.Digests},
		{Source: "ruled.example/a/", Mirrors: []string{"r2.example/a/", "open.example/a"}, Use: mirrors.Tags},
		{Source: "ruled.example", Mirrors: []string{"r3.example"}},
		{Source: "ruled.example/never", Mirrors: []string{"r4.example"}, Exclusive: true},
		{Source: "quay.io/acme", Mirrors: []string{"r5.example/x"}},
		{Source: "*.wild.example", Mirrors: []string{"r6.example"}},
	}
	r, err := mirrors.New(sys, rules, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		ref  string
		want []string
	}{
		{"plain.example/x:v1", []string{"plain.example/x:v1"}},
		{"plain.example:5000/x" + sum, []string{"plain.example:5000/x"}},
		{"open.example/x:v1", []string{"open.example/x:v1 insecure"}},
		{"localhost:5000/x:v1", []string{"localhost:5000/x:v1 http"}},
		{"127.0.0.1:5000/x:v1", []string{"127.0.0.1:5000/x:v1 http"}},
		{"10.0.0.1:5000/x:v1", []string{"10.0.0.1:5000/x:v1"}},
		{"host.lab.example/x:v1", []string{"m3.example/lab/x:v1", "host.lab.example/x:v1"}},
		{"shut.example/x:v1", []string{"m4.example/x:v1", "shut.example/x:v1 blocked"}},
		{"proxied.example/x:v1", []string{"proxy.example/x:v1 ns=proxied.example", "proxied.example/x:v1"}},
		{"dropped.example/x:v1", []string{"m5.example/x:v1", "dropped.example/x:v1"}},
		{"quay.io/acme/x:v1", []string{"r5.example/x/x:v1", "m1.example:5000/a/x:v1", "real.example/acme/x:v1"}},
		{"quay.io/acme/x" + sum, []string{"r5.example/x/x", "m1.example:5000/a/x", "m2.example/b/x insecure", "real.example/acme/x"}},
		{"quay.io/acmes/x:v1", []string{"quay.io/acmes/x:v1"}},
		{"ruled.example/a/x" + sum, []string{"r1.example/a/x", "ruled.example/a/x"}},
		{"ruled.example/a/x:v1", []string{"r2.example/a/x:v1", "open.example/a/x:v1 insecure", "ruled.example/a/x:v1"}},
		{"ruled.example/b/x:v1", []string{"r3.example/b/x:v1", "ruled.example/b/x:v1"}},
		{"ruled.example/never/x:v1", []string{"r4.example/x:v1"}},
		{"host.wild.example/x:v1", []string{"r6.example/x:v1", "host.wild.example/x:v1"}},
	} {
		t.Run(tt.ref, func(t *testing.T) {
			t.Parallel()
			named, err := reference.ParseNamed(tt.ref)
			if err != nil {
				t.Fatal(err)
			}
			eps, err := r.Endpoints(named)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range eps {
				got = append(got, show(e))
			}
			if !slices.Equal(got, tt.want) {
				t.Fatalf("Endpoints = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestTLSVerifyOverrules(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for _, tt := range []struct {
		verify *bool
		ref    string
		want   string
	}{
		{&yes, "open.example/x:v1", "open.example/x:v1"},
		{&yes, "localhost:5000/x:v1", "localhost:5000/x:v1"},
		{&no, "plain.example/x:v1", "plain.example/x:v1 insecure"},
	} {
		r, err := mirrors.New(system(t, conf), nil, tt.verify)
		if err != nil {
			t.Fatal(err)
		}
		named, err := reference.ParseNamed(tt.ref)
		if err != nil {
			t.Fatal(err)
		}
		eps, err := r.Endpoints(named)
		if err != nil || len(eps) != 1 || show(eps[0]) != tt.want {
			t.Errorf("verify %t: %v, %v, want %s", *tt.verify, eps, err, tt.want)
		}
	}
}

// A rule that leaves nobody to ask is an error of its own.
func TestNobodyLeft(t *testing.T) {
	t.Parallel()
	rules := []mirrors.Rule{{Source: "quay.io", Mirrors: []string{"m.example"}, Use: mirrors.Digests, Exclusive: true}}
	r, err := mirrors.New(system(t, ""), rules, nil)
	if err != nil {
		t.Fatal(err)
	}
	named, err := reference.ParseNamed("quay.io/a/b:v1")
	if err != nil {
		t.Fatal(err)
	}
	if eps, err := r.Endpoints(named); err == nil {
		t.Fatalf("Endpoints = %v", eps)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	if _, err := mirrors.New(system(t, "[registries.search]\nregistries = ['a']\n"), nil, nil); err == nil {
		t.Error("a registries.conf of version 1 was taken")
	}
	if _, err := mirrors.New(system(t, ""), []mirrors.Rule{{Mirrors: []string{"m"}}}, nil); err == nil {
		t.Error("a rule without a source was taken")
	}
}

func TestHost(t *testing.T) {
	t.Parallel()
	for ref, want := range map[string]string{
		"docker.io/library/busybox:v1": "registry-1.docker.io", "quay.io/a/b:v1": "quay.io", "h:5000/a:v1": "h:5000",
	} {
		named, err := reference.ParseNamed(ref)
		if err != nil {
			t.Fatal(err)
		}
		if got := (mirrors.Endpoint{Ref: named}).Host(); got != want {
			t.Errorf("Host(%s) = %s, want %s", ref, got, want)
		}
	}
}
