package machine

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-systemd/v22/unit"

	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/verify"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

func settings() Settings {
	return Settings{
		Root: "/var/lib/shared/nodeseal", Slots: []string{"a", "b"}, Pins: []string{"quay.io/x/*"},
		Nameserver: netip.MustParseAddr("192.0.2.53"), Unreached: []string{"quay.io"}, Key: []byte("key\n"),
	}
}

// TestSlotsFromTmpfiles: systemd-tmpfiles alone makes valid stores, and leaves
// what is there alone: what a store holds, and its modes.
func TestSlotsFromTmpfiles(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	tool := testenv.NeedTool(t, "systemd-tmpfiles")
	root := t.TempDir()
	s := settings()
	conf := filepath.Join(root, "nodeseal.conf")
	if err := os.WriteFile(conf, s.tmpfiles(), 0o600); err != nil {
		t.Fatal(err)
	}
	create := func() {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), tool, "--create", "--root="+root, conf).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Fatalf("systemd-tmpfiles: %v\n%s", err, out)
		}
	}
	create()
	for _, slot := range s.Stores() {
		dir := os.DirFS(filepath.Join(root, slot))
		st, err := store.Open(dir)
		if err = errors.Join(err, store.CheckLocks(dir)); err != nil {
			t.Fatal(err)
		}
		if !st.Empty() {
			t.Errorf("%s is not empty", slot)
		}
		rep, err := verify.Store(t.Context(), filepath.Join(root, slot), verify.Options{})
		if err != nil || len(rep.Findings) > 0 {
			t.Errorf("verifying %s: %v, %v", slot, rep, err)
		}
	}
	lock := filepath.Join(root, s.Stores()[0], "overlay-images", "images.lock")
	if info, err := os.Stat(lock); err != nil || info.Size() != 64 {
		t.Errorf("%s: %v, %v; want 64 bytes", lock, info, err)
	}
	if err := errors.Join(os.WriteFile(lock, []byte("full"), 0), os.Chmod(lock, 0o600)); err != nil {
		t.Fatal(err)
	}
	create()
	data, err := os.ReadFile(lock)
	info, serr := os.Stat(lock)
	if err = errors.Join(err, serr); err != nil || string(data) != "full" || info.Mode() != 0o600 {
		t.Errorf("%s was changed: %q, %v, %v", lock, data, info.Mode(), err)
	}
}

// TestSlotsWithoutColons: where systemd has passed over the lines with modes for what is new
// (before version 250), the unit that looks for a stick makes the slots, before it says
// that there is none. What is there stays.
func TestSlotsWithoutColons(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	testenv.NeedTool(t, "systemd-tmpfiles")
	dir := t.TempDir()
	s := Settings{Root: filepath.Join(dir, "root"), Slots: []string{"a", "b"}}
	script, conf, key := filepath.Join(dir, "install.sh"), filepath.Join(dir, "nodeseal.conf"), filepath.Join(dir, "key")
	err := errors.Join(os.WriteFile(script, InstallScript(), 0o600), os.WriteFile(conf, s.tmpfiles(), 0o600), os.WriteFile(key, nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	look := func() {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "sh", script, "--device", filepath.Join(dir, "NODESEAL"))
		cmd.Env = append(os.Environ(), "TARGET="+filepath.Join(dir, "nodeseal"), "KEY="+key, "TMPFILES="+conf)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "there is no stick with the label NODESEAL") {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	look()
	for _, slot := range s.Stores() {
		if rep, err := verify.Store(t.Context(), slot, verify.Options{}); err != nil || len(rep.Findings) > 0 {
			t.Errorf("verifying %s: %v, %v", slot, rep, err)
		}
	}
	if err := os.Chmod(s.Stores()[0], 0o750); err != nil {
		t.Fatal(err)
	}
	look()
	if info, err := os.Stat(s.Stores()[0]); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("what was there was changed: %v, %v", info.Mode(), err)
	}
}

// TestVerify: systemd finds nothing wrong with the units.
func TestVerify(t *testing.T) {
	t.Parallel()
	tool := testenv.NeedTool(t, "systemd-analyze")
	dir := t.TempDir()
	program := filepath.Join(dir, "program") // verify wants it to be there
	if err := os.WriteFile(program, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	units, err := settings().Units()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"verify", "--man=no", "--recursive-errors=no"}
	for _, u := range units {
		if u.Text == nil {
			continue
		}
		path := filepath.Join(dir, u.Name)
		text := strings.NewReplacer(nodeconfig.DefaultBinary, program, restorecon, program).Replace(string(u.Text))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	out, err := exec.CommandContext(t.Context(), tool, args...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestOrder holds what a node's boot depends on.
func TestOrder(t *testing.T) {
	t.Parallel()
	s := settings()
	units, err := s.Units()
	if err != nil {
		t.Fatal(err)
	}
	const before = "kubelet-dependencies.target crio.service crio-wipe.service machine-config-daemon-pull.service machine-config-daemon-firstboot.service " +
		"nodeip-configuration.service on-prem-resolv-prepender.service"
	waiting := append([]string{InstallUnit, SlotsUnit, HostsUnit, ImportUnit}, MountUnit(s.Stores()[0]), MountUnit(s.Stores()[1]))
	for _, u := range units {
		if u.Text == nil {
			continue
		}
		options, err := unit.DeserializeOptions(strings.NewReader(string(u.Text)))
		if err != nil {
			t.Fatalf("%s: %v", u.Name, err)
		}
		values := map[string][]string{}
		for _, o := range options {
			values[o.Name] = append(values[o.Name], strings.Fields(o.Value)...)
			if o.Name == "RequiredBy" || strings.Contains(o.Value, "disable") || strings.Contains(o.Value, "mask") {
				t.Errorf("%s has %s=%s", u.Name, o.Name, o.Value)
			}
		}
		if u.Enabled != (len(values["WantedBy"]) > 0) {
			t.Errorf("%s: enabled %v, wanted by %v", u.Name, u.Enabled, values["WantedBy"])
		}
		if strings.Contains(u.Name, "@") {
			t.Errorf("%s is a template, which cannot be enabled", u.Name)
		}
		if !slices.Contains(waiting, u.Name) {
			continue
		}
		for name := range strings.FieldsSeq(before) {
			if !slices.Contains(values["Before"], name) {
				t.Errorf("%s is not before %s", u.Name, name)
			}
		}
		if slices.Contains(values["Before"], "local-fs.target") || strings.HasSuffix(u.Name, ".mount") && fmt.Sprint(values["DefaultDependencies"]) != "[no]" {
			t.Errorf("%s belongs to local-fs.target", u.Name)
		}
	}
}

// TestKeyOnly: a key makes the import unit ask for a signature.
func TestKeyOnly(t *testing.T) {
	t.Parallel()
	for _, key := range [][]byte{nil, []byte("key\n")} {
		s := settings()
		s.Key = key
		units, err := s.Units()
		if err != nil {
			t.Fatal(err)
		}
		files, err := s.Files()
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(units, func(u Unit) bool { return u.Name == ImportUnit })
		if asked := strings.Contains(string(units[i].Text), "--key "+KeyFile); asked != (key != nil) {
			t.Errorf("key %q: asked %v", key, asked)
		}
		for _, name := range []string{KeyFile, InstallFile} {
			if there := slices.ContainsFunc(files, func(f File) bool { return f.Path == name }); there != (key != nil) {
				t.Errorf("key %q: %s is on the node: %v", key, name, there)
			}
		}
	}
}

// TestPins: one glob for each folder, the same for the next release.
func TestPins(t *testing.T) {
	t.Parallel()
	got := Pins([]string{
		"quay.io/openshift-release-dev/ocp-v4.0-art-dev", "quay.io/openshift-release-dev/ocp-release",
		"registry.redhat.io/odf4/deep/name", "localhost:5000/image",
	})
	want := []string{"localhost:5000/image*", "quay.io/openshift-release-dev/*", "registry.redhat.io/odf4/*"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, pin := range got {
		if err := checkPin(pin); err != nil {
			t.Error(err)
		}
	}
	for _, pin := range []string{"quay.io/x/y:1", "quay.io/x/y@sha256:00"} {
		if err := checkPin(pin); err != nil {
			t.Error(err)
		}
	}
}
