package imagelist

import (
	"errors"
	"strings"
	"testing"

	"go.podman.io/image/v5/docker/reference"
)

const hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestNormalize(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"nginx":                                   "docker.io/library/nginx:latest",
		"acme/app:v1":                             "docker.io/acme/app:v1",
		"docker.io/nginx":                         "docker.io/library/nginx:latest",
		"index.docker.io/library/nginx:1":         "docker.io/library/nginx:1",
		" quay.io/acme/app ":                      "quay.io/acme/app:latest",
		"localhost/app:1":                         "localhost/app:1",
		"registry:5000/app":                       "registry:5000/app:latest",
		"quay.io/a/b:t@sha256:" + hex:             "quay.io/a/b:t@sha256:" + hex,
		"docker://quay.io/a/b@sha256:" + hex:      "quay.io/a/b@sha256:" + hex,
		"docker-pullable://a.b/c@sha256:" + hex:   "a.b/c@sha256:" + hex,
		"image-registry.svc:5000/ns/app_a.b--c:1": "image-registry.svc:5000/ns/app_a.b--c:1",
	} {
		got, err := Normalize(in)
		if err != nil || got != want {
			t.Errorf("Normalize(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", " ", "@sha256:" + hex, "quay.io/a@sha256:short", "quay.io/a@sha512:" + hex + hex, "quay.io/A/b",
		"quay.io/a:", "quay.io/a b", "http://quay.io/a", "quay.io//a", "quay.io/a:" + strings.Repeat("t", 129),
		"quay.io/" + strings.Repeat("a", 256), "sha256:" + hex + "@", "quay.io/a@sha256:" + hex + "x",
	} {
		if got, err := Normalize(in); !errors.Is(err, ErrReference) {
			t.Errorf("Normalize(%q) = %q, %v; want ErrReference", in, got, err)
		}
	}
}

// What Normalize lets through, the library that reads references must take, too.
func FuzzNormalize(f *testing.F) {
	for _, seed := range []string{"nginx", "quay.io/a/b:t@sha256:" + hex, "a.b:5/c", "[::1]:5/a", "LOCAL/app", "-/a", "a/-"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		out, err := Normalize(in)
		if err != nil {
			if !errors.Is(err, ErrReference) {
				t.Fatalf("error %v", err)
			}
			return
		}
		if again, err := Normalize(out); err != nil || again != out {
			t.Fatalf("Normalize(%q) = %q; again: %q, %v", in, out, again, err)
		}
		named, err := reference.ParseNamed(out)
		if err != nil || named.String() != out {
			t.Fatalf("Normalize(%q) = %q, which the library reads as %v, %v", in, out, named, err)
		}
	})
}
