package imagelist_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/imagelist"
)

const sum = "sha256:b5b2b2c507a0944348e0303114d8d93aaaa081732b86451d9bce1f432a537bc7"

func TestNormalize(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"quay.io/acme/app:v1", "quay.io/acme/app:v1"},
		{"quay.io/acme/app", "quay.io/acme/app:latest"},
		{"quay.io/acme/app@" + sum, "quay.io/acme/app@" + sum},
		{"quay.io/acme/app:v1@" + sum, "quay.io/acme/app@" + sum},
		{"docker.io/busybox", "docker.io/library/busybox:latest"},
		{"index.docker.io/library/busybox:1", "docker.io/library/busybox:1"},
		{"localhost/app:v1", "localhost/app:v1"},
		{"localhost:5000/app:v1", "localhost:5000/app:v1"},
		{"registry:5000/app:v1", "registry:5000/app:v1"},
		{"10.0.0.1:5000/a/b/c/d:v1", "10.0.0.1:5000/a/b/c/d:v1"},
		{
			"image-registry.openshift-image-registry.svc:5000/ns/app:latest",
			"image-registry.openshift-image-registry.svc:5000/ns/app:latest",
		},
	} {
		t.Run(tt.in, func(t *testing.T) {
			t.Parallel()
			got, err := imagelist.Normalize(tt.in)
			if err != nil || got != tt.want {
				t.Fatalf("Normalize = %q, %v, want %q", got, err, tt.want)
			}
			if again, err := imagelist.Normalize(got); err != nil || again != got {
				t.Fatalf("Normalize again = %q, %v, want %q", again, err, got)
			}
		})
	}
}

func TestNormalizeRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   string
		want error // nil: any
	}{
		{"busybox", imagelist.ErrShortName},
		{"busybox:1.36", imagelist.ErrShortName},
		{"library/busybox", imagelist.ErrShortName},
		{"acme/app@" + sum, imagelist.ErrShortName},
		{"quay.io/a@sha512:" + strings.Repeat("0", 128), imagelist.ErrDigest},
		{"user:secret@quay.io/acme/app:v1", imagelist.ErrCredentials},
		{"https://user:secret@quay.io/acme/app", imagelist.ErrCredentials},
		{"user:secret@quay.io", imagelist.ErrCredentials},
		{"", nil},
		{"quay.io/", nil},
		{"quay.io/Acme/app", nil},
		{"quay.io/acme/app:", nil},
		{"quay.io/acme/app@", imagelist.ErrDigest},
		{"quay.io/acme/app@sha256:beef", nil},
		{"quay.io/acme/app@md5:d41d8cd98f00b204e9800998ecf8427e", imagelist.ErrDigest},
		{"docker://quay.io/acme/app", nil},
		{"https://quay.io/acme/app", nil},
		{"quay.io/acme/app v1", nil},
		{"quay.io/acme/app:v1\n", nil},
		{sum, nil},
		{strings.TrimPrefix(sum, "sha256:"), nil},
	} {
		t.Run(tt.in, func(t *testing.T) {
			t.Parallel()
			got, err := imagelist.Normalize(tt.in)
			if err == nil || (tt.want != nil && !errors.Is(err, tt.want)) {
				t.Fatalf("Normalize = %q, %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestNewEntryKeepsTagAsName(t *testing.T) {
	t.Parallel()
	e, err := imagelist.NewEntry("quay.io/acme/app:v1@" + sum)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"quay.io/acme/app:v1"}
	if e.Ref != "quay.io/acme/app@"+sum || e.Digest != digest.Digest(sum) || !slices.Equal(e.Names, want) {
		t.Fatalf("entry = %+v", e)
	}
}

func FuzzNormalize(f *testing.F) {
	for _, s := range []string{
		"quay.io/acme/app:v1@" + sum, "docker.io/busybox", "busybox", "[::1]:5000/a", "a.b/c:d@e:f", "localhost/x", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := imagelist.Normalize(s)
		if err != nil {
			return
		}
		if again, err := imagelist.Normalize(got); err != nil || again != got {
			t.Fatalf("Normalize(%q) = %q, which normalises to %q, %v", s, got, again, err)
		}
		name, d := imagelist.Split(got)
		if (d == "") == (imagelist.Repository(name) == name) {
			t.Fatalf("Normalize(%q) = %q: want a tag or a digest", s, got)
		}
	})
}
