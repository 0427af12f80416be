package ocp

import (
	"errors"
	"slices"
	"testing"
)

// TestReleases: each release, with what it does. The figures are those of the table in
// docs/upgrade.md.
func TestReleases(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		version string
		source  OSSource
		pinned  bool
	}{
		{"4.9.1", OSRegistry, false},
		{"4.16", OSRegistry, false},
		{"4.16.30", OSRegistry, false},
		{"4.17", OSRegistry, false},
		{"4.18.40", OSRegistry, false},
		{"4.19", OSRegistry, false},
		{"4.19.0", OSRegistry, false},
		{"4.19.11", OSRegistry, false},
		{"4.19.12", OSPinned, true},
		{"4.20", OSPinned, true},
		{"4.20.0-rc.1", OSPinned, true},
		{"4.21.3", OSPinned, true},
		{"4.22", OSPinned, true},
		{"4.23", OSLocal, true},
		{"5.0", OSLocal, true},
		{"5.0.2", OSLocal, true},
	} {
		v, err := Parse(test.version)
		if err != nil {
			t.Errorf("%s: %v", test.version, err)
			continue
		}
		if v.OSSource() != test.source || v.HasPinnedImageSet() != test.pinned {
			t.Errorf("%s: source %d, PinnedImageSet %v", test.version, v.OSSource(), v.HasPinnedImageSet())
		}
		if v.NeedsPatch() != (test.version == "4.19") {
			t.Errorf("%s: needs its patch level: %v", test.version, v.NeedsPatch())
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "4", "4.x", "3.11", "four", "4.18 ", "4.0", "4.24", "4.99", "4.99.1", "5.1", "6.0", "4.18.99999999999999999999"} {
		if v, err := Parse(s); !errors.Is(err, ErrVersion) {
			t.Errorf("%q is taken as %v: %v", s, v, err)
		}
	}
	// A cluster that is newer than this program is no mistake of its user.
	if v, ok := Read("5.3.1"); !ok || v.OSSource() != OSLocal || v.String() != "5.3.1" {
		t.Errorf("5.3.1 is read as %v", v)
	}
}

func TestUncovered(t *testing.T) {
	t.Parallel()
	const os, app = "quay.io/openshift-release-dev/os@sha256:00", "registry.example/app@sha256:01"
	for _, test := range []struct{ pins, want []string }{
		{nil, []string{os, app}},
		{[]string{"quay.io/openshift-release-dev/*"}, []string{app}},
		{[]string{"quay.io/openshift-release-dev/*", app}, nil},
		{[]string{"quay.io/openshift-release-dev/os", "registry.example/ap"}, []string{os, app}},
		{[]string{"*openshift-release*", "registry.example/app*"}, nil},
	} {
		if got := Uncovered(test.pins, []string{os, app}); !slices.Equal(got, test.want) {
			t.Errorf("pins %q leave %q, want %q", test.pins, got, test.want)
		}
	}
}
