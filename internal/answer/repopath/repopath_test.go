package repopath

import (
	"testing"

	"go.podman.io/image/v5/docker/reference"
)

func TestOf(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ repository, want string }{
		{"quay.io/openshift-release-dev/ocp-release", "quay.io/openshift-release-dev/ocp-release"},
		{"quay.io", "quay.io"},
		{"registry.example:5000/a/b", "registry.example_5000/a/b"},
		{"registry.example:5000", "registry.example_5000"},
		{"Registry.Example/a", "registry.example/a"},
		{"localhost/a", "localhost/a"},
		{"10.0.0.1:443/a", "10.0.0.1_443/a"},
		{"[::1]:5000/a", "0000-0000-0000-0000-0000-0000-0000-0001_5000/a"},
		{"[fd00::]/a", "fd00-0000-0000-0000-0000-0000-0000-0000/a"},
		{"docker.io/library/busybox", "docker.io/library/busybox"},
	} {
		got := Of(test.repository)
		if got != test.want {
			t.Errorf("Of(%q) = %q, want %q", test.repository, got, test.want)
		}
		if _, err := reference.ParseNamed("127.0.0.1:5055/" + got); err != nil {
			t.Errorf("Of(%q) = %q, no repository's name: %v", test.repository, got, err)
		}
	}
}

// TestDistinct holds that two repositories never have one name.
func TestDistinct(t *testing.T) {
	t.Parallel()
	names := make(map[string]string)
	for _, repository := range []string{
		"a.b/c", "a.b:5000/c", "a.b/5000/c", "[::1]:5000/c", "[::1]/c", "0.0.0.1/c", "a-b/c", "a.b.c",
	} {
		if other, ok := names[Of(repository)]; ok {
			t.Errorf("%s and %s are both %s", repository, other, Of(repository))
		}
		names[Of(repository)] = repository
	}
}

func FuzzOf(f *testing.F) {
	for _, s := range []string{"quay.io/a/b", "h:5000/a", "[::1]:5000/a", "", "/", "a:b:c/d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, repository string) {
		named, err := reference.ParseNamed(repository)
		if err != nil || !reference.IsNameOnly(named) {
			return
		}
		got := "127.0.0.1:5055/" + Of(named.Name())
		if len(got) > 255 {
			return // longer than any reference may be
		}
		if _, err := reference.ParseNamed(got); err != nil {
			t.Errorf("%q becomes %q: %v", repository, got, err)
		}
	})
}
