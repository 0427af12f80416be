//go:build e2e

package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/e2e/harness"
)

// testDamagedStores shows what CRI-O does with a store that is not whole, and that
// nodeseal status says so before CRI-O starts.
func (c *crioProof) testDamagedStores(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(*testing.T, *node)
		// starts is whether CRI-O starts, says is in what it says where it does not.
		starts bool
		says   string
		// has is whether CRI-O finds the store's images.
		has bool
		// status is in the problem that nodeseal status names.
		status string
	}{
		{name: "missing lock, immutable folder", damage: func(t *testing.T, n *node) {
			remove(t, n.slot("a/overlay-images/images.lock"))
			harness.Must(t, "chattr", "+i", n.slot("a/overlay-images"))
		}, says: "operation not permitted", status: "overlay-images/images.lock: no such file"},
		{name: "missing lock, read-only mount", damage: func(t *testing.T, n *node) {
			remove(t, n.slot("a/overlay-images/images.lock"))
			n.must("mount", "--bind", n.slot("a"), n.slot("a"))
			n.must("mount", "-o", "remount,bind,ro", n.slot("a"))
		}, starts: true, status: "overlay-images/images.lock: no such file"},
		{name: "missing slot", damage: func(t *testing.T, n *node) {
			if err := os.RemoveAll(n.slot("a")); err != nil {
				t.Fatal(err)
			}
		}, says: "no such file or directory", status: "there is no slot"},
		{name: "damaged images.json", damage: func(t *testing.T, n *node) {
			if err := os.WriteFile(n.slot("a/overlay-images/images.json"), []byte(`[{"id":`), 0o600); err != nil {
				t.Fatal(err)
			}
		}, says: "overlay-images/images.json", status: "overlay-images/images.json"},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := newNode(t, c.images.pause)
			n.run("import", c.images.bundle, "--root", n.path("slots"), "--no-seal")
			n.configure()
			n.run(n.statusArgs()...)
			test.damage(t, n)
			n.findsProblem(n.slot("a"), test.status)
			err := n.tryStart()
			t.Logf("CRI-O: %v", err)
			switch {
			case test.starts != (err == nil):
				t.Errorf("CRI-O starts: %v, want %v: %v", err == nil, test.starts, err)
			case err != nil && !strings.Contains(err.Error(), test.says):
				t.Errorf("CRI-O says %v, want %q", err, test.says)
			case err == nil && (n.present(c.images.app) != nil) != test.has:
				t.Errorf("CRI-O has images of the store: %v, want %v", !test.has, test.has)
			}
			n.log = nil // it was to fail
		})
	}
}

func (n *node) statusArgs() []string {
	return []string{"status", "--root", n.path("slots"), "--storage-conf", n.path("storage.conf")}
}

// findsProblem holds that nodeseal status exits with 4 and names a problem of path
// with text in it.
func (n *node) findsProblem(path, text string) {
	n.t.Helper()
	const exitDamaged = 4
	out := n.nodeseal(n.statusArgs()...)
	if out.Code != exitDamaged {
		n.t.Errorf("nodeseal status: exit code %d, want %d\n%s%s", out.Code, exitDamaged, out.Stdout, out.Stderr)
	}
	for line := range strings.Lines(string(out.Stdout)) {
		if strings.HasPrefix(line, "PROBLEM  "+path+": ") && strings.Contains(line, text) {
			n.t.Logf("nodeseal status: %s", strings.TrimSpace(line))
			return
		}
	}
	n.t.Errorf("nodeseal status names no problem of %s with %q:\n%s", path, text, out.Stdout)
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// must runs a program in the node's namespaces; it has to succeed.
func (n *node) must(words ...string) {
	n.t.Helper()
	if out, err := n.command(words...).CombinedOutput(); err != nil {
		n.t.Fatalf("%q: %v\n%s", words, err, out)
	}
}
