//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// upgradeFSSize holds two slots and a primary store.
const upgradeFSSize = 2 << 30

// slotNode is a made-up node: two slots on a file system of their own, a graph root
// beside them, a storage.conf that names both slots from the beginning.
type slotNode struct {
	root, graph, conf string
	podmanWords       []string
}

// newSlotNode makes a node on a file system of the given type.
func newSlotNode(t *testing.T, fs string) *slotNode {
	t.Helper()
	dir := testenv.NeedFSOfSize(t, fs, upgradeFSSize)
	n := &slotNode{root: filepath.Join(dir, "nodeseal"), graph: filepath.Join(dir, "graph")}
	binary := harness.Binary(t)
	run, err := os.MkdirTemp("", "ns-")
	if err != nil {
		t.Fatal(err)
	}
	n.conf = harness.WriteFile(t, "storage.conf", fmt.Sprintf(
		"[storage]\ndriver = \"overlay\"\nrunroot = %q\ngraphroot = %q\n[storage.options]\nadditionalimagestores = [%q, %q]\n",
		filepath.Join(run, "r"), n.graph, filepath.Join(n.root, "a"), filepath.Join(n.root, "b")))
	n.podmanWords = []string{
		"env", "CONTAINERS_STORAGE_CONF=" + n.conf, "podman", "--tmpdir", filepath.Join(run, "t"),
		"--cgroup-manager", "cgroupfs", "--events-backend", "none", "--runtime", "runc",
	}
	t.Cleanup(func() {
		_ = exec.Command(n.podmanWords[0], append(n.podmanWords[1:], "rm", "--all", "--force", "--time", "0")...).Run()
		waitForEnd(n.graph)
		_ = exec.Command("umount", "-R", filepath.Join(n.graph, "overlay")).Run()
		_ = exec.Command(binary, "umount", "--root", n.root).Run()
		_ = os.RemoveAll(run)
	})
	harness.MustNodeseal(t, "mount", "--root", n.root)
	return n
}

// waitForEnd waits for the processes that clean up after containers: they have
// the graph root among their arguments, and its file system open.
func waitForEnd(graph string) {
	for range 100 {
		running := false
		processes, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, path := range processes {
			line, err := os.ReadFile(path)
			running = running || err == nil && strings.Contains(string(line), graph)
		}
		if !running {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (n *slotNode) podman(t *testing.T, args ...string) harness.Output {
	t.Helper()
	return harness.Run(t, n.podmanWords[0], append(n.podmanWords[1:len(n.podmanWords):len(n.podmanWords)], args...)...)
}

func (n *slotNode) mustPodman(t *testing.T, args ...string) string {
	t.Helper()
	out := n.podman(t, args...)
	if out.Code != 0 {
		t.Fatalf("podman %q: exit code %d\n%s%s", args, out.Code, out.Stderr, out.Stdout)
	}
	return strings.TrimSpace(string(out.Stdout))
}

// start starts a container that stays.
func (n *slotNode) start(t *testing.T, name, image string) {
	t.Helper()
	n.mustPodman(t, "run", "--detach", "--name", name, "--pull", "never", "--network", "none", "--log-driver", "none",
		"--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", image, "/bin/busybox", "sleep", "100000")
}

// alive wants a container to see and to change its files.
func (n *slotNode) alive(t *testing.T, name string) {
	t.Helper()
	out := n.mustPodman(t, "exec", name, "sh", "-c", "echo more >> /data/append; cat /data/overwrite")
	if out != "image" {
		t.Errorf("container %s reads %q", name, out)
	}
}

// slots is what nodeseal says about the slots.
func (n *slotNode) slots(t *testing.T) map[string]int {
	t.Helper()
	out := n.nodeseal(t, "status", "--storage-conf", n.conf, "--json")
	var status struct {
		Slots []struct {
			Name               string
			Images             int
			Immutable, Mounted bool
		}
	}
	if err := json.Unmarshal(out.Stdout, &status); err != nil {
		t.Fatal(err)
	}
	images, want := make(map[string]int), 4 // of a node whose storage.conf names empty slots only
	for _, s := range status.Slots {
		images[s.Name] = s.Images
		if s.Images > 0 {
			want = 0
		}
		if !s.Immutable || !s.Mounted {
			t.Errorf("slot %s is not sealed: %+v", s.Name, s)
		}
	}
	if out.Code != want {
		t.Errorf("status: exit code %d, want %d\n%s%s", out.Code, want, out.Stdout, out.Stderr)
	}
	return images
}

// nodeseal runs a command on the node's slots.
func (n *slotNode) nodeseal(t *testing.T, args ...string) harness.Output {
	t.Helper()
	return harness.Nodeseal(t, append(args, "--root", n.root)...)
}

func (n *slotNode) must(t *testing.T, args ...string) string {
	t.Helper()
	return string(harness.MustNodeseal(t, append(args, "--root", n.root)...).Stdout)
}

// validStore returns why readers would not take a configured store: each has both
// lock files, not empty, and records that are JSON.
func validStore(path string) error {
	for _, name := range []string{"overlay-layers/layers", "overlay-images/images"} {
		lock, err := os.ReadFile(filepath.Join(path, name+".lock"))
		if err != nil || len(lock) != 64 {
			return fmt.Errorf("%s.lock: %d bytes, %w", name, len(lock), err)
		}
		data, err := os.ReadFile(filepath.Join(path, name+".json"))
		if err != nil || !json.Valid(data) {
			return fmt.Errorf("%s.json: %d bytes, %w", name, len(data), err)
		}
	}
	return nil
}

// watch looks at both configured paths, again and again, as a reader does, until
// the function it returns is called.
func (n *slotNode) watch(t *testing.T) (stop func()) {
	t.Helper()
	done, ended := make(chan struct{}), make(chan int)
	go func() {
		looks := 0
		defer func() { ended <- looks }()
		for {
			for _, slot := range []string{"a", "b"} {
				if err := validStore(filepath.Join(n.root, slot)); err != nil {
					t.Errorf("slot %s at some moment: %v", slot, err)
				}
			}
			looks++
			select {
			case <-done:
				return
			case <-time.After(200 * time.Microsecond):
			}
		}
	}()
	return func() {
		close(done)
		if looks := <-ended; looks < 100 {
			t.Errorf("only %d looks at the slots", looks)
		}
	}
}
