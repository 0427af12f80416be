package nodestatus

import (
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
)

// TestOnlyUnpacked: a slot says before the upgrade that its operating system is of no use
// to it.
func TestOnlyUnpacked(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		version, role string
		original      bool
		want          string
	}{
		{"4.18.3", bundle.RoleOS, false, "OpenShift 4.18.3 reads its layers from a registry: with none, an upgrade to it degrades the pool, and"},
		{"4.19.12", bundle.RoleOS, false, "if that has no PinnedImageSet"},
		{"", bundle.RoleOS, false, "OpenShift before 4.23"},
		{"4.23.0", bundle.RoleOS, false, ""},
		{"5.0.1", bundle.RoleOS, false, ""},
		{"4.18.3", bundle.RoleOS, true, ""},
		{"4.18.3", "", false, ""},
	} {
		inv := &bundle.Inventory{Images: []bundle.Image{{Ref: "quay.io/os@sha256:00", Role: test.role, Original: test.original}}}
		if test.version != "" {
			inv.Release = &bundle.Release{Version: test.version}
		}
		got := strings.Join(onlyUnpacked(inv), "\n")
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%+v: %q", test, got)
		}
	}
}
