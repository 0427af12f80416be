//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// TestSignedIn mirrors from Debian's docker-registry with a password, over TLS
// by a private authority. skopeo signs in and pushes, and the auth.json that it
// leaves is what nodeseal signs in with.
func TestSignedIn(t *testing.T) {
	ca := testenv.NewAuthority(t)
	certs := ca.CertDir(t)
	host := testenv.NeedDockerRegistry(t, ca, "eng", "s3cret")
	auth := filepath.Join(t.TempDir(), "auth.json")
	harness.Must(t, "skopeo", "login", "--authfile", auth, "--cert-dir", certs, "-u", "eng", "-p", "s3cret", host)

	open := harness.Registry(t)
	refs := harness.RealImages(t, open, open+"/lab")
	var list []string
	for name, ref := range refs {
		_, digest, _ := strings.Cut(ref, "@")
		harness.Must(t, "skopeo", "copy", "--insecure-policy", "--preserve-digests", "--src-tls-verify=false", "--dest-authfile", auth,
			"--dest-cert-dir", certs, "docker://"+ref, "docker://"+host+"/lab/"+name)
		list = append(list, "registry.example/lab/"+name+"@"+digest)
	}
	slices.Sort(list)
	images := harness.WriteFile(t, "images.lst", strings.Join(list, "\n")+"\n")
	conf := func(location string) string {
		return harness.WriteFile(t, "registries.conf", fmt.Sprintf("[[registry]]\nprefix = \"registry.example\"\nlocation = %q\n", location))
	}
	bundle := func(location string, flags ...string) (harness.Output, string) {
		out := filepath.Join(t.TempDir(), "b.tar.zst")
		args := append([]string{"bundle", "--quiet", "--images", images, "--registries-conf", conf(location), "-o", out}, flags...)
		return harness.Nodeseal(t, args...), out
	}
	want, plain := bundle(open)
	if want.Code != 0 {
		t.Fatalf("from the open registry: %s", want.Stderr)
	}
	login := string(harness.ReadFile(t, auth))
	home := filepath.Join(t.TempDir(), "containers")
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "auth.json"), []byte(login), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, way := range []struct {
		name, variable, value string
		flags                 []string
	}{
		{name: "--authfile", flags: []string{"--authfile", auth}},
		{name: "REGISTRY_AUTH_FILE", variable: "REGISTRY_AUTH_FILE", value: auth},
		{name: "XDG_RUNTIME_DIR", variable: "XDG_RUNTIME_DIR", value: filepath.Dir(home)},
	} {
		t.Run(way.name, func(t *testing.T) {
			if way.variable != "" {
				t.Setenv(way.variable, way.value)
			}
			got, path := bundle(host, append(way.flags, "--cert-dir", certs)...)
			if got.Code != 0 {
				t.Fatalf("%s", got.Stderr)
			}
			if harness.HashFile(t, path) != harness.HashFile(t, plain) {
				t.Error("the bundle is not that of the open registry")
			}
		})
	}
	wrong := testenv.AuthFile(t, map[string]string{host: "eng:guess"})
	for _, flags := range [][]string{{"--authfile", wrong, "--cert-dir", certs}, {"--authfile", auth}} {
		got, path := bundle(host, flags...)
		if _, err := os.Stat(path); got.Code != 1 || err == nil {
			t.Errorf("%v: exit code %d, a bundle: %t\n%s", flags, got.Code, err == nil, got.Stderr)
		}
	}
}
