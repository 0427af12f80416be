package pull_test

import (
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/pull"
	"github.com/nodeseal/nodeseal/internal/pull/mirrors"
)

// conf is a registries.conf that sends quay.example to mirrors.
func conf(t *testing.T, extra string, at ...string) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "[[registry]]\nprefix = \"quay.example\"\nlocation = %q\n%s\n", at[len(at)-1], extra)
	for _, m := range at[:len(at)-1] {
		fmt.Fprintf(&b, "[[registry.mirror]]\nlocation = %q\n", m)
	}
	return writeFile(t, "registries.conf", b.String())
}

func TestMirrors(t *testing.T) {
	t.Parallel()
	first, second, source := plain(t), plain(t), plain(t)
	all := push(t, "acme/all", "v1", layerSize, first, second, source)
	half := push(t, "acme/half", "v1", layerSize, second, source)
	only := push(t, "acme/only", "v1", layerSize, source)
	c, n := newClient(t, pull.Options{RegistriesConf: conf(t, "", first.host, second.host, source.host)})
	for _, tt := range []struct {
		img  image
		from []*fakeRegistry // asked for the manifest, in order
		not  []*fakeRegistry
	}{
		{all, []*fakeRegistry{first}, []*fakeRegistry{second, source}},
		{half, []*fakeRegistry{first, second}, []*fakeRegistry{source}},
		{only, []*fakeRegistry{first, second, source}, nil},
	} {
		ref := "quay.example/" + tt.img.repo + "@" + tt.img.manifest.String()
		m, err := c.Manifest(t.Context(), ref)
		if err != nil || m.Digest != tt.img.manifest {
			t.Fatalf("Manifest(%s) = %s, %v", ref, m.Digest, err)
		}
		if err := readBlob(t, c, ref, tt.img, 0); err != nil {
			t.Fatal(err)
		}
		for _, r := range tt.from {
			if len(r.asked(tt.img.repo+"/manifests")) != 1 || len(r.asked(tt.img.repo+"/blobs")) != 1 {
				t.Errorf("%s: %s was not asked once each", ref, r.host)
			}
		}
		for _, r := range tt.not {
			if len(r.asked(tt.img.repo)) != 0 {
				t.Errorf("%s: %s was asked", ref, r.host)
			}
		}
	}
	if len(n.list) != 0 {
		t.Errorf("waits %v: what a mirror lacks is at the next", n.list)
	}
}

// A mirror that has the manifest but not the blob, or breaks in the blob.
func TestMirrorWithoutBlob(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fault{
		"404": status(404), "500": status(500), "breaks": breakAfter(70_000, abort), "breaks at once": breakAfter(0, abort),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mirror, source := plain(t), plain(t)
			img := push(t, "acme/app", "v1", layerSize, mirror, source)
			mirror.fail("blobs", always, f)
			c, _ := newClient(t, pull.Options{RegistriesConf: conf(t, "", mirror.host, source.host)})
			ref := "quay.example/acme/app@" + img.manifest.String()
			if err := readBlob(t, c, ref, img, 0); err != nil {
				t.Fatal(err)
			}
			if asked := source.asked("blobs"); len(asked) != 1 || (name == "breaks" && asked[0].rng == "") {
				t.Errorf("the source was asked %+v", asked)
			}
		})
	}
}

// A mirror that gives other bytes for a digest is passed over.
func TestMirrorLies(t *testing.T) {
	t.Parallel()
	mirror, source := plain(t), plain(t)
	img := push(t, "acme/app", "v1", layerSize, source)
	other := push(t, "acme/app", "v1", layerSize, mirror)
	mirror.fail("manifests", always, change(func(rec *httptest.ResponseRecorder, _ []byte) []byte {
		rec.Code = 200
		return other.bytes
	}))
	c, n := newClient(t, pull.Options{RegistriesConf: conf(t, "", mirror.host, source.host)})
	m, err := c.Manifest(t.Context(), "quay.example/acme/app@"+img.manifest.String())
	if err != nil || m.Digest != img.manifest || len(n.list) != 0 {
		t.Fatalf("Manifest = %s, %v", m.Digest, err)
	}
}

// Blob does not hash. Who found a blob wrong says so, and gets it elsewhere.
func TestReject(t *testing.T) {
	t.Parallel()
	mirror, source := plain(t), plain(t)
	img := push(t, "acme/app", "v1", layerSize, mirror, source)
	mirror.fail("blobs", always, change(func(_ *httptest.ResponseRecorder, body []byte) []byte {
		body[1000] ^= 1
		return body
	}))
	c, _ := newClient(t, pull.Options{RegistriesConf: conf(t, "", mirror.host, source.host)})
	ref := "quay.example/acme/app@" + img.manifest.String()
	b, err := c.Blob(t.Context(), ref, img.layer, img.size(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if got, err := io.ReadAll(b); err != nil || string(got) == string(img.data) {
		t.Fatalf("the mirror's blob is right: %v", err)
	}
	c.Reject(img.layer)
	if err := readBlob(t, c, ref, img, 0); err != nil {
		t.Fatal(err)
	}
	if len(mirror.asked("blobs")) != 1 || len(source.asked("blobs")) != 1 {
		t.Error("the source was not asked instead")
	}
}

func TestMirrorsOfTags(t *testing.T) {
	t.Parallel()
	mirror, source := plain(t), plain(t)
	push(t, "acme/app", "v1", 1000, mirror, source)
	for _, tt := range []struct {
		name string
		o    pull.Options
		want *fakeRegistry
	}{
		{"all", pull.Options{RegistriesConf: conf(t, "", mirror.host, source.host)}, mirror},
		{"digests only", pull.Options{RegistriesConf: conf(t, "mirror-by-digest-only = true", mirror.host, source.host)}, source},
	} {
		c, _ := newClient(t, tt.o)
		before := len(tt.want.asked("manifests"))
		if _, err := c.Manifest(t.Context(), "quay.example/acme/app:v1"); err != nil {
			t.Fatal(err)
		}
		if len(tt.want.asked("manifests")) != before+1 {
			t.Errorf("%s: %s was not asked", tt.name, tt.want.host)
		}
	}
}

func TestMirrorRules(t *testing.T) {
	t.Parallel()
	mirror, source := plain(t), plain(t)
	img := push(t, "acme/app", "v1", layerSize, mirror, source)
	for _, exclusive := range []bool{false, true} {
		c, _ := newClient(t, pull.Options{
			RegistriesConf: conf(t, "", source.host),
			Mirrors: []mirrors.Rule{{
				Source: "quay.example/acme", Mirrors: []string{mirror.host + "/acme"}, Use: mirrors.Digests, Exclusive: exclusive,
			}},
		})
		if err := readBlob(t, c, "quay.example/acme/app@"+img.manifest.String(), img, 0); err != nil {
			t.Error(err)
		}
		_, err := c.Manifest(t.Context(), "quay.example/acme/app:v1")
		if (err != nil) != exclusive {
			t.Errorf("exclusive %t: by tag: %v", exclusive, err)
		}
	}
	if len(source.asked("blobs")) != 0 || len(mirror.asked("manifests")) != 0 {
		t.Error("digests must come from the mirror, tags from the source")
	}
}

func TestBlocked(t *testing.T) {
	t.Parallel()
	mirror, source := plain(t), plain(t)
	img := push(t, "acme/app", "v1", layerSize, mirror)
	c, n := newClient(t, pull.Options{RegistriesConf: writeFile(t, "registries.conf", fmt.Sprintf(
		"[[registry]]\nlocation = %q\nblocked = true\n[[registry.mirror]]\nlocation = %q\n", source.host, mirror.host,
	))})
	if err := readBlob(t, c, source.host+"/acme/app:v1", img, 0); err != nil {
		t.Errorf("from the mirror of a blocked registry: %v", err)
	}
	_, err := c.Manifest(t.Context(), source.host+"/acme/gone:v1")
	if !errors.Is(err, pull.ErrBlocked) || len(source.asked("")) != 0 || len(n.list) != 0 {
		t.Errorf("error %v, want ErrBlocked, nothing asked", err)
	}
}

// The error names every endpoint that was tried, and says the one that matters.
func TestErrorNamesEveryEndpoint(t *testing.T) {
	t.Parallel()
	mirror, source := plain(t), plain(t)
	source.fail("manifests", always, status(403))
	c, _ := newClient(t, pull.Options{RegistriesConf: conf(t, "", mirror.host, source.host)})
	_, err := c.Manifest(t.Context(), "quay.example/acme/app:v1")
	var e *pull.Error
	if !errors.As(err, &e) || len(e.Attempts) != 2 || !errors.Is(err, pull.ErrDenied) || errors.Is(err, pull.ErrNotFound) {
		t.Fatalf("error %+v", err)
	}
	for _, want := range []string{"quay.example/acme/app:v1", mirror.host + "/acme/app:v1: 404 ", source.host + "/acme/app:v1: 403 "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

// A mirror that cannot be reached is asked first once, then last.
func TestUnreachableMirror(t *testing.T) {
	t.Parallel()
	gone, source := plain(t), plain(t)
	img := push(t, "acme/app", "v1", layerSize, source)
	gone.Close()
	c, _ := newClient(t, pull.Options{RegistriesConf: conf(t, "", gone.host, source.host)})
	for range 3 {
		if err := readBlob(t, c, "quay.example/acme/app:v1", img, 0); err != nil {
			t.Fatal(err)
		}
	}
	source.fail("blobs", 1, status(404))
	err := readBlob(t, c, "quay.example/acme/app:v1", img, 0)
	var e *pull.Error
	if !errors.As(err, &e) || len(e.Attempts) != 2 || !strings.HasPrefix(e.Attempts[0].Endpoint, source.host) {
		t.Fatalf("error %v, want the source asked before the mirror", err)
	}
}
