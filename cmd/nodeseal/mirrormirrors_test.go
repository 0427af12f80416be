package main

import (
	"fmt"
	"net/http"
	"os"
	"testing"

	"github.com/nodeseal/nodeseal/internal/testregistry"
)

// TestBundleHalfAMirror mirrors through a mirror that has one image whole, one
// without its own layer, and one not at all: what it has comes from it, the rest
// from the registry that the references name, each byte once, and the bundle is
// the same.
func TestBundleHalfAMirror(t *testing.T) {
	t.Parallel()
	// The ways in which users say that there is a mirror.
	ways := map[string]func(t *testing.T, m *mirrored, mirror, source string) (flags []string){
		"registries.conf": func(t *testing.T, m *mirrored, mirror, source string) []string {
			t.Helper()
			m.conf("location = %q\ninsecure = true\n[[registry.mirror]]\nlocation = %q\ninsecure = true\n", source, mirror)
			return nil
		},
		"ImageDigestMirrorSet": func(t *testing.T, m *mirrored, mirror, source string) []string {
			t.Helper()
			m.conf("location = %q\ninsecure = true\n", source)
			sets := m.path("mirrors.yaml")
			check(t, os.WriteFile(sets, fmt.Appendf(nil, `apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: lab}
spec:
  imageDigestMirrors:
  - source: registry.example
    mirrors: [%q]
`, mirror), 0o600))
			return []string{"--mirrors", sets}
		},
	}
	for name, configure := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMirrored(t)
			want := undisturbed(t)
			mirror := &testregistry.Registry{Content: m.registry.Content}
			mirror.Trouble = func(q testregistry.Request) testregistry.Fault {
				if q.Repository == "team/image2" || q.Blob == m.layers[2].Digest || q.Blob == m.layers[3].Digest {
					return testregistry.Fault{Status: http.StatusNotFound}
				}
				return testregistry.Fault{}
			}
			source := &testregistry.Registry{Content: m.registry.Content}
			flags := configure(t, m, served(t, mirror), served(t, source))
			if got := m.bundle("run", flags...); got != want {
				t.Errorf("%s, without a mirror %s", got, want)
			}
			for i, l := range m.layers {
				byMirror, bySource := mirror.Served(l.Digest), source.Served(l.Digest)
				if onMirror := i < 2; (byMirror == l.Size) != onMirror || byMirror+bySource != l.Size {
					t.Errorf("layer %d of %d bytes: the mirror gave %d, the source %d", i, l.Size, byMirror, bySource)
				}
			}
		})
	}
}

// served serves a registry and returns its address.
func served(t *testing.T, r *testregistry.Registry) string {
	t.Helper()
	addr, stop, err := r.Serve()
	check(t, err)
	t.Cleanup(stop)
	return addr
}
