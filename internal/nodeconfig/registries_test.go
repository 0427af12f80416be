package nodeconfig

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/types"
)

const (
	sum = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	art = "quay.io/openshift-release-dev/ocp-v4.0-art-dev"
)

func sample() Registries {
	return Registries{
		Repositories: []string{
			art, "quay.io/openshift-release-dev/ocp-release", art, "registry.example:5000/team/app",
			"docker.io/library/busybox", "east.corp.example/team/app", "[fd00::1]:5000/a/b",
		},
		Mirrored: []MirroredSource{
			{Source: "quay.io/openshift-release-dev", Mirrors: []string{"gone.example:8443/ocp"}, Pulls: DigestPulls, NeverSource: true},
			{Source: art, Mirrors: []string{"gone.example:8443/art"}, Pulls: DigestPulls},
			{Source: art, Mirrors: []string{"tags.example/art"}, Pulls: TagPulls},
			{Source: "registry.redhat.io", Mirrors: []string{"gone.example:8443/redhat"}, Pulls: DigestPulls},
			{Source: "*.corp.example", Mirrors: []string{"gone.example:8443/corp"}},
		},
	}
}

// What no CRI-O can read is refused, with the object that it stands in, and without
// a password.
func TestRegistriesRefused(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"user:pw@host.example/a", `host.example/"a"`, "", "host.example/a:v1", "https://host.example", "host.example/a\nb", "host.example/A"} {
		for _, m := range []MirroredSource{
			{Object: "ImageTagMirrorSet tags", Source: bad, Mirrors: []string{"m.example"}},
			{Object: "ImageTagMirrorSet tags", Source: "host.example", Mirrors: []string{bad}},
		} {
			conf, err := Registries{Mirrored: []MirroredSource{m}}.Conf()
			if !errors.Is(err, ErrSource) || !strings.Contains(err.Error(), "ImageTagMirrorSet tags") || strings.Contains(err.Error(), "pw") {
				t.Errorf("%+v: %s, %v", m, conf, err)
			}
		}
	}
}

// TestRegistriesConf asks the library that CRI-O uses where it would pull from,
// with the entries that were there before in a drop-in of their own.
func TestRegistriesConf(t *testing.T) {
	t.Parallel()
	conf, err := sample().Conf()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"01-mirrors.conf": `[[registry]]
prefix = "` + art + `"
location = "` + art + `"
[[registry.mirror]]
location = "gone.example:8443/art"
`, "99-zzz-nodeseal.conf": string(conf),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	main := filepath.Join(dir, "registries.conf")
	if err := os.WriteFile(main, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	sys := &types.SystemContext{SystemRegistriesConfPath: main, SystemRegistriesConfDirPath: dir}
	for _, test := range []struct {
		ref  string
		want []string // without the digest or tag; ! is insecure
	}{
		{art + "@" + sum, []string{"!127.0.0.1:5055/" + art, "gone.example:8443/art", art}},
		{art + ":4.19", []string{"!127.0.0.1:5055/" + art, "tags.example/art", art}},
		{"quay.io/openshift-release-dev/ocp-release@" + sum, []string{
			"!127.0.0.1:5055/quay.io/openshift-release-dev/ocp-release", "gone.example:8443/ocp/ocp-release", "blocked",
		}},
		{"quay.io/openshift-release-dev/other@" + sum, []string{
			"!127.0.0.1:5055/quay.io/openshift-release-dev/other", "gone.example:8443/ocp/other", "blocked",
		}},
		{"registry.redhat.io/ubi9/ubi@" + sum, []string{
			"!127.0.0.1:5055/registry.redhat.io/ubi9/ubi", "gone.example:8443/redhat/ubi9/ubi", "registry.redhat.io/ubi9/ubi",
		}},
		{"registry.example:5000/team/app@" + sum, []string{"!127.0.0.1:5055/registry.example_5000/team/app", "registry.example:5000/team/app"}},
		{"docker.io/library/busybox:1", []string{"!127.0.0.1:5055/docker.io/library/busybox", "docker.io/library/busybox"}},
		{"east.corp.example/team/app:1", []string{
			"!127.0.0.1:5055/east.corp.example/team/app", "gone.example:8443/corp/team/app", "east.corp.example/team/app",
		}},
		{"west.corp.example/x/y:1", []string{"!127.0.0.1:5055/x/y", "gone.example:8443/corp/x/y", "west.corp.example/x/y"}},
	} {
		if got := sources(t, sys, test.ref); !slices.Equal(got, test.want) {
			t.Errorf("%s is pulled from\n%q, want\n%q", test.ref, got, test.want)
		}
	}
}

// sources returns where the library would pull ref from, in order.
func sources(t *testing.T, sys *types.SystemContext, ref string) []string {
	t.Helper()
	named, err := reference.ParseNamed(ref)
	if err != nil {
		t.Fatal(err)
	}
	reg, err := sysregistriesv2.FindRegistry(sys, named.Name())
	if err != nil || reg == nil {
		t.Fatalf("%s: %v, %v", ref, reg, err)
	}
	found, err := reg.PullSourcesFromReference(named)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, s := range found {
		where := s.Reference.Name()
		switch {
		case i == len(found)-1 && reg.Blocked:
			where = "blocked"
		case s.Endpoint.Insecure:
			where = "!" + where
		}
		got = append(got, where)
	}
	return got
}

func TestRegistriesGolden(t *testing.T) {
	t.Parallel()
	conf, err := sample().Conf()
	if err != nil {
		t.Fatal(err)
	}
	text, err := ServeUnit{Stores: []string{"/var/lib/shared/nodeseal/a", "/odd path/50%"}}.Text()
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{
		"registries.conf.golden": conf, "registries.d.golden": sample().Attachments(), "serve.service.golden": text,
	} {
		path := filepath.Join("testdata", name)
		if os.Getenv("UPDATE") != "" {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s is now\n%s", name, got)
		}
	}
}

// TestRegistriesOrder holds that the order of what is given changes nothing.
func TestRegistriesOrder(t *testing.T) {
	t.Parallel()
	one, other := sample(), sample()
	slices.Reverse(other.Repositories)
	a, errA := one.Conf()
	b, errB := other.Conf()
	if errA != nil || errB != nil || string(a) != string(b) {
		t.Errorf("%v, %v:\n%s\n%s", errA, errB, a, b)
	}
	if n := strings.Count(string(a), `prefix = "`+art+`"`); n != 1 {
		t.Errorf("%d entries for %s", n, art)
	}
}
