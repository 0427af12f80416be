package machine

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestRegistryHosts(t *testing.T) {
	t.Parallel()
	got := RegistryHosts([]string{"quay.io/a", "registry.example:5000/b", "quay.io/c", "192.0.2.1/d", "[2001:db8::1]:5000/e", "localhost:5000/f", "LOCALHOST/f", "image-registry.openshift-image-registry.svc:5000/g"})
	if want := []string{"quay.io", "registry.example"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestHostsScript: the script adds lines once, replaces those of an earlier configuration,
// removes them, and leaves the lines of others and the file's mode as they are.
func TestHostsScript(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	script, hosts, lines := filepath.Join(dir, "hosts.sh"), filepath.Join(dir, "hosts"), filepath.Join(dir, "lines")
	write := func(path string, data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	run := func(verb, want string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), "sh", script, verb, hosts, lines).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", verb, err, out)
		}
		data, err := os.ReadFile(hosts)
		if err != nil || string(data) != want {
			t.Errorf("after %s: %v\n%s\nwant\n%s", verb, err, data, want)
		}
		if info, err := os.Stat(hosts); err != nil || info.Mode() != 0o640 {
			t.Errorf("after %s the mode is %v, %v", verb, info.Mode(), err)
		}
		if entries, err := filepath.Glob(hosts + ".*"); err != nil || len(entries) != 1 { // hosts.sh
			t.Errorf("after %s there are %q, %v", verb, entries, err)
		}
	}
	const own = "127.0.0.1 localhost\n\x00\n# B\xfcro\n10.0.0.1 admin # nodeseal\n172.30.0.5 image-registry.openshift-image-registry.svc # openshift-generated-node-resolver\n"
	write(script, hostsScript)
	write(hosts, []byte(own))
	mounted := hosts + "-of-a-pod" // as the node-resolver has it
	if err := os.Link(hosts, mounted); err != nil {
		t.Fatal(err)
	}
	write(lines, hostsLines([]string{"quay.io"}))
	run("add", own+"255.255.255.255 quay.io # nodeseal\n")
	run("add", own+"255.255.255.255 quay.io # nodeseal\n")
	write(lines, hostsLines([]string{"registry.example"}))
	run("add", own+"255.255.255.255 registry.example # nodeseal\n")
	run("remove", own)
	run("remove", own)
	write(hosts+".nodeseal", []byte(own)) // power was cut
	write(hosts, []byte("127.0"))
	run("add", own+"255.255.255.255 registry.example # nodeseal\n")
	run("remove", own)
	if data, err := os.ReadFile(mounted); err != nil || string(data) != own {
		t.Errorf("the file that is mounted elsewhere has %q, %v", data, err)
	}
	write(hosts, nil)
	run("remove", "")
	if strings.Contains(unreachable, "127.") {
		t.Error("CRI-O verifies no certificates of such an address")
	}
}
