//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// node is a machine with two slots and CRI-O: a network namespace with only lo,
// a mount namespace with its own /etc/containers, and all of CRI-O's state in
// one directory.
type node struct {
	t     *testing.T
	dir   string
	pause string
	pins  bool // pin all images of the bundles
	// runtime is the program that runs containers, "" is Debian's runc.
	runtime string
	holder  *exec.Cmd // keeps the namespaces
	crio    *exec.Cmd
	log     *bytes.Buffer
	conn    *grpc.ClientConn
	images  cri.ImageServiceClient
	pods    cri.RuntimeServiceClient
	count   int
	// serving is the process of nodeseal serve.
	serving int
}

// newNode makes a node with empty slots. CRI-O does not run yet.
func newNode(t *testing.T, pause string) *node {
	t.Helper()
	testenv.NeedRoot(t)
	for _, tool := range []string{"runc", "conmon", "ip", "nsenter", "unshare"} {
		testenv.NeedTool(t, tool)
	}
	// Sockets have short paths.
	dir, err := os.MkdirTemp("", "nsn")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, dir: dir, pause: pause}
	words := append(harness.LoopbackOnly(t), "unshare", "--mount", "--propagation", "private",
		"sh", "-c", "mount --bind "+n.path("etc")+" /etc/containers && echo ready && exec sleep infinity")
	for _, sub := range []string{"etc/registries.conf.d", "etc/registries.d", "slots"} {
		if err := os.MkdirAll(n.path(sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	n.write("etc/registries.conf", "unqualified-search-registries = []\n")
	n.write("etc/policy.json", `{"default": [{"type": "insecureAcceptAnything"}]}`)
	n.holder = exec.Command(words[0], words[1:]...)
	out, err := n.holder.StdoutPipe()
	if err == nil {
		err = n.holder.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.remove)
	if line := make([]byte, 6); true {
		if _, err := out.Read(line); err != nil {
			t.Fatalf("the node's namespaces: %v", err)
		}
	}
	n.run("mount", "--root", n.path("slots")) // makes the empty slots
	return n
}

func (n *node) path(name string) string { return filepath.Join(n.dir, name) }

func (n *node) slot(name string) string { return n.path("slots/" + name) }

// seen is where this process finds a slot with what the node has mounted there.
func (n *node) seen(name string) string {
	return fmt.Sprintf("/proc/%d/root%s", n.holder.Process.Pid, n.slot(name))
}

func (n *node) write(name, text string) {
	n.t.Helper()
	if err := os.MkdirAll(filepath.Dir(n.path(name)), 0o755); err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(n.path(name), []byte(text), 0o644); err != nil {
		n.t.Fatal(err)
	}
}

// command is a program in the node's namespaces.
func (n *node) command(words ...string) *exec.Cmd {
	args := append([]string{"--target", strconv.Itoa(n.holder.Process.Pid), "--mount", "--net"}, words...)
	return exec.Command("nsenter", args...)
}

// run runs nodeseal on the node; it has to succeed.
func (n *node) run(args ...string) []byte {
	n.t.Helper()
	out, err := n.command(append([]string{harness.Binary(n.t)}, args...)...).CombinedOutput()
	if err != nil {
		n.t.Fatalf("nodeseal %q: %v\n%s", args, err, out)
	}
	return out
}

// nodeseal runs nodeseal on the node, whatever becomes of it.
func (n *node) nodeseal(args ...string) harness.Output {
	n.t.Helper()
	words := n.command(append([]string{harness.Binary(n.t)}, args...)...).Args
	return harness.Run(n.t, words[0], words[1:]...)
}

// configure writes the configuration as OpenShift has it, for a machine like this.
func (n *node) configure() {
	n.t.Helper()
	tools := crioTools(n.t)
	n.write("storage.conf", fmt.Sprintf("[storage]\ndriver = \"overlay\"\ngraphroot = %q\nrunroot = %q\n[storage.options]\nadditionalimagestores = [%q, %q]\n",
		n.path("graph"), n.path("run"), n.slot("a"), n.slot("b")))
	// Where the machine may not lower oom_score_adj, runc is asked for what it has. What
	// kubelet wants of huge pages is left out: not every machine has that cgroup.
	n.write("runtime", `#!/bin/sh
bundle=
for word; do
  [ "$previous" = --bundle ] && bundle=$word
  previous=$word
done
score=$(cat /proc/self/oom_score_adj)
[ -n "$bundle" ] && sed -z -i "s/\"oomScoreAdj\": *-*[0-9]*/\"oomScoreAdj\": $score/
s/\"hugepageLimits\": *\[[^]]*\]/\"hugepageLimits\": []/" "$bundle/config.json"
exec `+cmp.Or(n.runtime, "runc")+` "$@"
`)
	if err := os.Chmod(n.path("runtime"), 0o755); err != nil {
		n.t.Fatal(err)
	}
	conmon, pinned := testenv.NeedTool(n.t, "conmon"), ""
	if n.pins {
		pinned = `"` + crioRepo + `/*"`
	}
	n.write("crio.conf", strings.NewReplacer("DIR", n.dir, "TOOLS", tools, "CONMON", conmon, "PAUSE", n.pause, "PINNED", pinned).Replace(`
[crio]
root = "DIR/graph"
runroot = "DIR/run"
storage_driver = "overlay"
log_dir = "DIR/logs"
version_file = "DIR/version"
version_file_persist = "DIR/version-persist"
clean_shutdown_file = "DIR/clean.shutdown"
internal_wipe = true
internal_repair = true
[crio.api]
listen = "DIR/crio.sock"
stream_port = "0"
[crio.runtime]
default_runtime = "runc"
cgroup_manager = "cgroupfs"
conmon_cgroup = "pod"
pinns_path = "TOOLS/pinns"
namespaces_dir = "DIR/ns"
container_exits_dir = "DIR/exits"
container_attach_socket_dir = "DIR/attach"
hooks_dir = []
apparmor_profile = "unconfined"
selinux = false
[crio.runtime.runtimes.runc]
runtime_path = "DIR/runtime"
runtime_type = "oci"
runtime_root = "DIR/runc"
monitor_path = "CONMON"
monitor_cgroup = "pod"
[crio.image]
pause_image = "PAUSE"
pause_command = ""
signature_policy = "DIR/etc/policy.json"
signature_policy_dir = "DIR/policies"
pinned_images = [PINNED]
[crio.network]
network_dir = "DIR/cni"
plugin_dirs = ["/usr/lib/cni"]
[crio.nri]
enable_nri = false
`))
}

// crioWords are the words of a command line of CRI-O.
func (n *node) crioWords(args ...string) []string {
	return append([]string{
		"env", "CONTAINERS_STORAGE_CONF=" + n.path("storage.conf"), crioTools(n.t) + "/crio",
		"--config", n.path("crio.conf"), "--config-dir", "", "--log-level", "warn",
	}, args...)
}

// tryStart starts CRI-O as a boot does, and returns an error where it gives up.
func (n *node) tryStart() error {
	n.t.Helper()
	n.configure()
	n.log = new(bytes.Buffer)
	n.crio = n.command(n.crioWords()...)
	n.crio.Stdout, n.crio.Stderr = n.log, n.log
	if err := n.crio.Start(); err != nil {
		n.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = n.crio.Wait(); close(ended) }()
	conn, err := grpc.NewClient("unix://"+n.path("crio.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		n.t.Fatal(err)
	}
	n.conn, n.images, n.pods = conn, cri.NewImageServiceClient(conn), cri.NewRuntimeServiceClient(conn)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, err := n.pods.Version(n.t.Context(), &cri.VersionRequest{}); err == nil {
			return nil
		}
		select {
		case <-ended:
			return fmt.Errorf("crio ended: %s", lastLines(n.log.String(), 3))
		default:
		}
		if time.Now().After(deadline) {
			n.kill(syscall.SIGKILL)
			return fmt.Errorf("crio does not answer: %s", lastLines(n.log.String(), 3))
		}
	}
}

func (n *node) start() {
	n.t.Helper()
	if err := n.tryStart(); err != nil {
		n.t.Fatal(err)
	}
}

// stop ends CRI-O in good order: containers go on.
func (n *node) stop() {
	n.t.Helper()
	n.kill(syscall.SIGTERM)
}

// kill sends CRI-O a signal and waits for its end.
func (n *node) kill(signal syscall.Signal) {
	if n.conn != nil {
		_ = n.conn.Close()
		n.conn = nil
	}
	if n.crio == nil {
		return
	}
	// nsenter has become env, and env has become CRI-O.
	end(n.crio.Process, signal)
	n.crio = nil
}

// end sends a process a signal and waits until it is gone.
func end(p *os.Process, signal syscall.Signal) {
	_ = p.Signal(signal)
	for deadline := time.Now().Add(20 * time.Second); syscall.Kill(p.Pid, 0) == nil && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
}

// powerCut kills everything that runs on the node at once, and empties what is
// in memory on a real one.
func (n *node) powerCut() {
	n.t.Helper()
	n.kill(syscall.SIGKILL)
	n.killAll()
	n.umountAll()
	for _, name := range []string{"run", "runc", "ns", "exits", "attach", "crio.sock", "version"} {
		if err := os.RemoveAll(n.path(name)); err != nil {
			n.t.Fatal(err)
		}
	}
}

// processes are those in the node's network namespace, without the one that
// keeps it.
func (n *node) processes() []int {
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", n.holder.Process.Pid))
	if err != nil {
		return nil
	}
	entries, _ := os.ReadDir("/proc")
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == n.holder.Process.Pid {
			continue
		}
		if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid)); err == nil && ns == own {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (n *node) killAll() {
	for range 50 {
		pids := n.processes()
		if len(pids) == 0 {
			return
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// umountAll takes away what containers left mounted, but for the slots.
func (n *node) umountAll() {
	for range 20 {
		mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mounts", n.holder.Process.Pid))
		if err != nil {
			return
		}
		again := false
		for line := range strings.Lines(string(mounts)) {
			point := strings.Fields(line)[1]
			if strings.HasPrefix(point, n.dir+"/") && !strings.HasPrefix(point, n.path("slots")) {
				_ = n.command("umount", "--lazy", point).Run()
				again = true
			}
		}
		if !again {
			return
		}
	}
}

// remove ends the test: nothing of the node is left.
func (n *node) remove() {
	if n.t.Failed() && n.log != nil {
		n.t.Logf("crio says:\n%s", lastLines(n.log.String(), 30))
	}
	n.kill(syscall.SIGKILL)
	n.killAll()
	n.umountAll()
	_ = n.holder.Process.Kill()
	_ = n.holder.Wait() // the mount namespace goes, and all mounts with it
	_ = exec.Command("chattr", "-R", "-f", "-i", n.dir).Run()
	for range 50 {
		if err := os.RemoveAll(n.dir); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	n.t.Errorf("%s cannot be removed", n.dir)
}

func lastLines(text string, count int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}
