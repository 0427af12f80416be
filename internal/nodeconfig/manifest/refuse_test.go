package manifest

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
)

// TestRefusals: what would break a cluster is refused, and the reason is said.
func TestRefusals(t *testing.T) {
	t.Parallel()
	frozen := []byte("[storage]\nrunroot = \"/var/run/containers/storage\"\n")
	v := func(s string) Version { return version(t, s) }
	with := func(change func(*machine.Settings)) machine.Settings {
		s := settings(t)
		change(&s)
		return s
	}
	mc := func(pool string, change func(*machine.Settings)) error {
		_, err := MachineConfig(pool, with(change))
		return err
	}
	same := func(*machine.Settings) {}
	pins := func(pins ...string) func(*machine.Settings) {
		return func(s *machine.Settings) { s.Pins = pins }
	}
	second := func(_ any, err error) error { return err }
	tests := []struct {
		name, reason string
		err          error
	}{
		{"template before 4.16", "--from", second(StorageConf(v("4.15"), nil))},
		{"frozen storage.conf", "/var/run/containers/storage", second(StorageConf(v("4.16"), frozen))},
		{"CRC in 4.22", "Technology Preview", second(ContainerRuntimeConfig("worker", v("4.22"), settings(t), false))},
		{"policy in 4.16", "4.17", second(NodeDisruptionPolicy(v("4.16"), settings(t)))},
		{"pinned set in 4.15", "4.16", second(PinnedImageSets("worker", v("4.15"), PinnedImages{Refs: images(1)}))},
		{"pinned set of nothing", "--bundle", second(PinnedImageSets("worker", v("4.19"), PinnedImages{}))},
		{"pinned tag", "x/y:1", second(PinnedImageSets("worker", v("4.19"), PinnedImages{Refs: []string{"quay.io/x/y:1"}}))},
		{"pinned deep name", "one folder", second(PinnedImageSets("worker", v("4.19"), PinnedImages{Refs: []string{"quay.io/a/b/c@sha256:" + strings.Repeat("0", 64)}}))},
		{"pins that a pinned set would lose", "replace each other", second(All(Options{Pools: []string{"a"}, Version: v("4.20"), Settings: settings(t),
			Pinned: PinnedImages{Refs: append(images(1), "quay.io/acme/app@sha256:"+strings.Repeat("0", 64))}}))},
		{"storage.conf and CRC", "win over", second(All(Options{Pools: []string{"a"}, Version: v("4.23"), Settings: settings(t), RuntimeConfig: true}))},
		{"no pool", "--pool", second(All(Options{Version: v("4.23"), Settings: settings(t)}))},
		{"pool", "MachineConfigPool", mc("Worker_1", same)},
		{"no image", "--image", second(DaemonSet([]string{"a"}, Installer{}, settings(t)))},
		{"star alone", "panics", mc("a", pins("*"))},
		{"star inside", "only at the end", mc("a", pins("quay.io/*/x*"))},
		{"no registry", "registry", mc("a", pins("quay*"))},
		{"no star, no digest", "whole repository", mc("a", pins("quay.io/a/b"))},
		{"root in /opt", "/var", mc("a", func(s *machine.Settings) { s.Root = "/opt/nodeseal" })},
		{"root with a space", "letters", mc("a", func(s *machine.Settings) { s.Root = "/var/lib/my images" })},
		{"too big", "bytes", mc("a", func(s *machine.Settings) {
			s.Registries = []machine.File{{Path: "/etc/big", Mode: 0o644, Content: []byte(strings.Repeat("x", 1<<20))}}
		})},
	}
	for _, version := range []string{"", "4", "4.x", "3.11", "four", "4.18 ", "4.99", "4.99.1"} {
		_, err := ParseVersion(version)
		tests = append(tests, struct {
			name, reason string
			err          error
		}{"version " + version, "--ocp-version", err})
	}
	for _, test := range tests {
		if !errors.Is(test.err, machine.ErrSettings) || !strings.Contains(test.err.Error(), test.reason) {
			t.Errorf("%s: %v, want a refusal with %q", test.name, test.err, test.reason)
		}
	}
	var overlap *nodeconfig.OverlapError
	if err := mc("a", func(s *machine.Settings) { s.Root = "/var/lib/containers/storage/slots" }); !errors.As(err, &overlap) {
		t.Errorf("slots below the graph root: %v", err)
	}
	if err := second(StorageConf(v("4.15"), []byte("["))); !errors.Is(err, nodeconfig.ErrStorageConf) {
		t.Errorf("a broken storage.conf: %v", err)
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{"4.18": "4.18", "4.9.1": "4.9.1", "5.0": "5.0", "4.20.0-rc.1": "4.20.0"} {
		if got, err := ParseVersion(s); err != nil || got.String() != want {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	if v := version(t, "5.0"); !v.AtLeast(23) || v.String() != "5.0" {
		t.Error("5.0 is later than every 4.N")
	}
}

// TestSameTemplate: what is built in is the file that the tests of storage.conf
// work with.
func TestSameTemplate(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile("../testdata/storage.conf-mco")
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(storageTemplate) {
		t.Error("storage.conf-4.16 differs from testdata/storage.conf-mco")
	}
}
