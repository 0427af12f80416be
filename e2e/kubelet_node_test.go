//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/e2e/harness"
)

// kubeNode is a node with a kubelet. Its pods have the node's network, in which only lo
// is up, with nodeAddr on it.
type kubeNode struct {
	*node
	kubelet *exec.Cmd
	klog    *os.File
	started int64 // how long klog was when kubelet was last started
	cgroup  string
	// api is the kubeconfig of an API server, "" has kubelet run static pods only.
	api string
}

// nodeAddr is the node's address: kubelet takes none of 127.0.0.0/8.
const nodeAddr = "10.77.0.1"

// newKubeNode makes a node with empty slots. Nothing runs yet.
func newKubeNode(t *testing.T, pause string) *kubeNode {
	t.Helper()
	for _, tool := range []string{"kubelet", "kube-scheduler", "kube-controller-manager"} {
		builtTool(t, tool)
	}
	k := &kubeNode{node: newNode(t, pause)}
	k.cgroup = "/" + filepath.Base(k.dir)
	k.makeCgroups()
	for _, sub := range []string{"kubelet", "manifests", "varlibkubelet", "cni", "podlogs", "containerlogs", "crio"} {
		if err := os.MkdirAll(k.path(sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	k.write("cni/10-lo.conflist", `{"cniVersion": "1.0.0", "name": "lo", "plugins": [{"type": "loopback"}]}`)
	// Volumes have to propagate; what kubelet sets for the whole machine goes into files.
	script := "mount --bind kubelet kubelet && mount --make-rshared kubelet && ip address add " + nodeAddr + "/32 dev lo"
	for dir, at := range map[string]string{"varlibkubelet": "/var/lib/kubelet", "containerlogs": "/var/log/containers", "crio": "/run/crio"} {
		script += " && mkdir -p " + at + " && mount --bind " + dir + " " + at
	}
	for _, name := range []string{"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"} {
		k.write("sysctl/"+name, string(harness.ReadFile(t, "/proc/sys", name)))
		script += " && mount --bind sysctl/" + name + " /proc/sys/" + name
	}
	k.must("sh", "-c", "cd "+k.dir+" && "+script)
	// Kubelet's statistics ask CRI-O at a fixed path where its images are.
	if err := os.Symlink(k.path("crio.sock"), k.path("crio/crio.sock")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.end)
	return k
}

// must runs a program on the node that has to succeed.
func (k *kubeNode) must(words ...string) {
	k.t.Helper()
	if out, err := k.command(words...).CombinedOutput(); err != nil {
		k.t.Fatalf("%q: %v\n%s", words, err, out)
	}
}

// cgroups are the node's directories of each hierarchy.
func (k *kubeNode) cgroups() []string {
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return []string{"/sys/fs/cgroup" + k.cgroup}
	}
	entries, _ := os.ReadDir("/sys/fs/cgroup")
	var out []string
	for _, e := range entries {
		if e.IsDir() && e.Name() != "unified" {
			out = append(out, "/sys/fs/cgroup/"+e.Name()+k.cgroup)
		}
	}
	return out
}

func (k *kubeNode) makeCgroups() {
	k.t.Helper()
	for _, dir := range k.cgroups() {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			k.t.Fatal(err)
		}
		// A cpuset without these takes no process.
		for _, name := range []string{"cpuset.cpus", "cpuset.mems", "cgroup.clone_children"} {
			value, err := os.ReadFile(filepath.Join(filepath.Dir(dir), name))
			if name == "cgroup.clone_children" {
				value = []byte("1")
			}
			if err == nil && strings.Contains(dir, "/cpuset/") {
				_ = os.WriteFile(filepath.Join(dir, name), value, 0)
			}
		}
	}
}

// end takes away what kubelet leaves.
func (k *kubeNode) end() {
	k.stopKubelet(syscall.SIGKILL)
	if k.t.Failed() && k.klog != nil {
		data, _ := os.ReadFile(k.klog.Name())
		k.t.Logf("kubelet says:\n%s", lastLines(string(data), 40))
	}
	for _, dir := range k.cgroups() {
		var below []string
		_ = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				below = append(below, path)
			}
			return nil
		})
		slices.Reverse(below)
		for _, path := range below {
			for _, word := range strings.Fields(readAny(filepath.Join(path, "cgroup.procs"))) {
				// 0 stands for a process of another namespace, and would kill the test itself.
				if pid, err := strconv.Atoi(word); err == nil && pid > 1 {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
			for range 50 {
				if syscall.Rmdir(path) == nil {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
		}
	}
}

func readAny(path string) string {
	data, _ := os.ReadFile(path)
	return string(data)
}

// startKubelet starts kubelet with further lines of its configuration, and waits until it
// is well.
func (k *kubeNode) startKubelet(settings string) {
	k.t.Helper()
	if !strings.Contains(settings, "evictionHard") { // the machine of the test may be full
		settings += "\nevictionHard: {memory.available: 1Mi, nodefs.available: \"0%\", imagefs.available: \"0%\", nodefs.inodesFree: \"0%\", imagefs.inodesFree: \"0%\"}"
	}
	k.write("kubelet.yaml", strings.NewReplacer("DIR", k.dir, "CGROUP", k.cgroup, "SERVER", fmt.Sprint(k.api != "")).Replace(`
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
staticPodPath: DIR/manifests
containerRuntimeEndpoint: unix://DIR/crio.sock
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
address: 127.0.0.1
readOnlyPort: 10255
healthzPort: 10248
cgroupDriver: cgroupfs
cgroupRoot: CGROUP
failSwapOn: false
podLogsDir: DIR/podlogs
volumePluginDir: DIR/volplugins
resolvConf: ""
makeIPTablesUtilChains: false
fileCheckFrequency: 1s
syncFrequency: 2s
imageMinimumGCAge: 0s
nodeStatusUpdateFrequency: 2s
`)+settings+"\n")
	var err error
	if k.klog == nil {
		if k.klog, err = os.Create(k.path("kubelet.log")); err != nil {
			k.t.Fatal(err)
		}
	}
	if info, err := k.klog.Stat(); err == nil {
		k.started = info.Size()
	}
	words := []string{
		builtTool(k.t, "kubelet"), "--config", k.path("kubelet.yaml"), "--root-dir", k.path("kubelet"),
		"--hostname-override", "node1", "--node-ip", nodeAddr, "--cert-dir", k.path("pki"), "--v", "2", "--vmodule", "event=3",
	}
	if k.api != "" {
		words = append(words, "--kubeconfig", k.api)
	}
	k.kubelet = k.command(words...)
	k.kubelet.Stdout, k.kubelet.Stderr = k.klog, k.klog
	if err := k.kubelet.Start(); err != nil {
		k.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func(cmd *exec.Cmd) { _ = cmd.Wait(); close(ended) }(k.kubelet)
	k.wait("kubelet is well", func() bool {
		select {
		case <-ended:
			k.t.Fatal("kubelet has ended")
		default:
		}
		resp, err := k.client().Get("http://127.0.0.1:10248/healthz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func (k *kubeNode) stopKubelet(signal syscall.Signal) {
	if k.kubelet == nil {
		return
	}
	end(k.kubelet.Process, signal)
	k.kubelet = nil
}

// patience is for a machine that does much else.
const patience = 3 * time.Minute

// wait waits until done.
func (k *kubeNode) wait(what string, done func() bool) {
	k.t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			k.t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// kubePod is how kubelet says that a pod stands.
type kubePod struct {
	Metadata struct{ Name string }
	Status   struct {
		Phase, Reason     string
		ContainerStatuses []kubeContainer
	}
}

type kubeContainer struct {
	ContainerID, ImageID string
	Ready                bool
	RestartCount         int
	State                map[string]struct {
		Reason, Message string
		ExitCode        int
	}
}

// getPod finds a pod; a static pod's name has the node's name behind it.
func (k *kubeNode) getPod(name string) (pod kubePod, found bool) {
	for _, p := range k.kubePods() {
		if p.Metadata.Name == name || p.Metadata.Name == name+"-node1" {
			return p, true
		}
	}
	return pod, false
}

// kubePods are the pods that kubelet knows; none if it does not answer.
func (k *kubeNode) kubePods() []kubePod {
	var list struct{ Items []kubePod }
	_ = json.Unmarshal(k.kubeletGet("/pods"), &list)
	return list.Items
}

// kubeletGet reads from kubelet's read-only port; nil if it does not answer.
func (k *kubeNode) kubeletGet(path string) []byte {
	client := k.client()
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://127.0.0.1:10255" + path)
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return body
}

// static writes the manifest of a static pod in the node's network.
func (k *kubeNode) static(name, spec string) {
	k.t.Helper()
	k.manifest(name, podText(name, spec))
}

// manifest writes the manifest of a static pod.
func (k *kubeNode) manifest(name, text string) {
	k.t.Helper()
	k.write("manifests/."+name, text)
	if err := os.Rename(k.path("manifests/."+name), k.path("manifests/"+name+".yaml")); err != nil {
		k.t.Fatal(err)
	}
}

// podText is a pod in the node's network.
func podText(name, spec string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", namespace: default}\nspec:\n  hostNetwork: true\n" +
		"  terminationGracePeriodSeconds: 1\n  automountServiceAccountToken: false\n" + spec
}

// sleeper is the spec of a pod with one container that sleeps.
func sleeper(image, policy, more string) string {
	return fmt.Sprintf("  containers:\n  - {name: c, image: %q, imagePullPolicy: %s, command: [/bin/sh, -c, 'trap \"exit 0\" TERM; while :; do sleep 1; done']%s}\n", image, policy, more)
}

// isRunning waits until all containers of a pod run and are ready, and returns the first.
func (k *kubeNode) isRunning(name string) kubeContainer {
	k.t.Helper()
	started := time.Now()
	var pod kubePod
	deadline := time.Now().Add(patience)
	for ; time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		var found bool
		if pod, found = k.getPod(name); !found {
			continue
		}
		ready := len(pod.Status.ContainerStatuses) > 0
		for _, c := range pod.Status.ContainerStatuses {
			_, running := c.State["running"]
			ready = ready && running && c.Ready
		}
		if ready {
			k.t.Logf("%s runs after %v", name, time.Since(started).Round(10*time.Millisecond))
			return pod.Status.ContainerStatuses[0]
		}
	}
	k.t.Fatalf("pod %s does not run: %+v", name, pod)
	return kubeContainer{}
}

// waits waits until the first container of a pod waits for one of reasons, and returns
// the message.
func (k *kubeNode) waits(name string, reasons ...string) (message string) {
	k.t.Helper()
	k.wait("pod "+name+" waits for "+strings.Join(reasons, " or "), func() bool {
		pod, found := k.getPod(name)
		if !found || len(pod.Status.ContainerStatuses) == 0 {
			return false
		}
		state := pod.Status.ContainerStatuses[0].State["waiting"]
		message = state.Message
		return slices.Contains(reasons, state.Reason)
	})
	return message
}

// unstatic takes a static pod away.
func (k *kubeNode) unstatic(name string) {
	k.t.Helper()
	if err := os.Remove(k.path("manifests/" + name + ".yaml")); err != nil {
		k.t.Fatal(err)
	}
	k.wait("pod "+name+" is gone", func() bool { _, found := k.getPod(name); return !found })
}
