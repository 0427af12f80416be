//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// ownScore starts runc with the score that this machine lets a container have, and without
// limits by control groups, which a container in a container may not have.
const ownScore = `#!/bin/sh
bundle=
for word; do
  [ "$previous" = --bundle ] && bundle=$word
  previous=$word
done
[ -n "$bundle" ] && sed -z -i "s/\"oomScoreAdj\": *-*[0-9]*/\"oomScoreAdj\": $(cat /proc/self/oom_score_adj)/
s/\"hugepageLimits\": *\[[^]]*\]/\"hugepageLimits\": []/
s/\"\(cpu\|memory\|pids\)\": *{[^}]*}/\"\1\": {}/g" "$bundle/config.json"
exec runc "$@"
`

// TestBaked boots a root file system that has its images with it as one EROFS file, with what
// config baked prints and no slots. Its CRI-O starts a pod with no network, and pulls by
// nodeseal serve.
func TestBaked(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"runc", "conmon"} {
		testenv.NeedTool(t, tool)
	}
	images := makeCRIOImages(t, "baked")
	m := newMachine(t)
	m.slotless(t)
	m.containers = filepath.Join(filepath.Dir(m.slots), "containers")
	if err := os.Mkdir(m.containers, 0o755); err != nil {
		t.Fatal(err)
	}
	const file = "/usr/share/nodeseal/images.erofs"
	if err := os.MkdirAll(filepath.Dir(filepath.Join(m.root, file)), 0o755); err != nil {
		t.Fatal(err)
	}
	harness.MustNodeseal(t, "import", images.bundle, "--image-out", filepath.Join(m.root, file))
	harness.Must(t, "cp", harness.Binary(t), filepath.Join(m.root, "usr/bin/nodeseal"))
	m.addCRIO(t, "cgroup_manager = \"cgroupfs\"\nconmon_cgroup = \"pod\"\n")
	m.write(t, "usr/local/bin/own-score", ownScore)
	if err := os.Chmod(filepath.Join(m.root, "usr/local/bin/own-score"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.write(t, "etc/crio/crio.conf.d/50-e2e.conf", fmt.Sprintf("[crio.image]\npause_image = %q\npause_command = \"\"\n"+
		"[crio.runtime.runtimes.runc]\nruntime_path = \"/usr/local/bin/own-score\"\nmonitor_path = \"/usr/bin/conmon\"\nmonitor_cgroup = \"pod\"\n", images.pause))
	m.write(t, "etc/containers/registries.conf", "unqualified-search-registries = []\n")
	out := harness.MustNodeseal(t, "config", "baked", "--image", file, "--bundle", images.bundle, "-o", m.root)
	_, words, found := bytes.Cut(out.Stderr, []byte("systemctl --root="))
	if !found {
		t.Fatalf("it does not say which units to enable:\n%s", out.Stderr)
	}
	harness.Must(t, "sh", "-c", "systemctl --root="+string(words))
	m.want(t, "crio.service")
	m.loops(t)
	b := m.boot(t)
	mount := "run-nodeseal_images.mount"
	if before, at := b.active(t, mount), b.active(t, "crio.service"); before > at {
		t.Errorf("CRI-O came at %d, before the store at %d", at, before)
	}
	b.active(t, "nodeseal-serve.service")
	n := b.node(t)
	if n.present(images.app) == nil {
		t.Error("CRI-O does not find an image of the file")
	}
	pod, config := n.pod()
	id := n.container(pod, config, images.tagged, 0, "/bin/sh", "-c", `test "$(cat /data/release)" = baked`)
	if status := n.await(id); status.ExitCode != 0 {
		t.Errorf("the container's exit code: %d, %s", status.ExitCode, status.Message)
	}
	n.removePod(pod)
	if err := n.pull(t.Context(), images.app); err != nil {
		t.Errorf("a pull with no network: %v\n%s", err, b.journal(t))
	}
	// A pull leaves a record there, and no layer.
	if _, err := os.Stat(filepath.Join(m.containers, "storage/overlay-layers/layers.json")); err == nil {
		if layers := harness.Layers(t, filepath.Join(m.containers, "storage")); len(layers) > 0 {
			t.Errorf("the primary store has %d layers: something was copied", len(layers))
		}
	}
	if out := b.run(t, "/usr/bin/nodeseal", "status"); out.Code != 0 || !bytes.Contains(out.Stdout, []byte("OK: a reboot needs no registry")) {
		t.Errorf("status: exit code %d\n%s%s", out.Code, out.Stdout, out.Stderr)
	}
	if out := b.run(t, "/usr/bin/nodeseal", "verify", file); out.Code != 0 {
		t.Errorf("verify: exit code %d\n%s%s", out.Code, out.Stdout, out.Stderr)
	}
}

// addCRIO gives the machine CRI-O as systemd's service, with more lines of configuration.
func (m *machine) addCRIO(t *testing.T, more string) {
	t.Helper()
	tools := crioTools(t)
	for _, tool := range []string{"crio", "pinns"} {
		harness.Must(t, "cp", filepath.Join(tools, tool), filepath.Join(m.root, "usr/local/bin", tool))
	}
	m.write(t, "etc/containers/policy.json", `{"default": [{"type": "insecureAcceptAnything"}]}`)
	m.write(t, "etc/crio/crio.conf", "[crio.runtime]\ndefault_runtime = \"runc\"\npinns_path = \"/usr/local/bin/pinns\"\n"+more+
		"[crio.runtime.runtimes.runc]\nmonitor_path = \"/usr/bin/conmon\"\n[crio.network]\nplugin_dirs = [\"/usr/lib/cni\"]\n[crio.nri]\nenable_nri = false\n")
	m.write(t, "etc/systemd/system/crio.service", `[Service]
Type=notify
ExecStart=/usr/local/bin/crio --config /etc/crio/crio.conf --config-dir /etc/crio/crio.conf.d --log-level info
KillMode=process
Delegate=yes
`)
}

// slotless takes from the machine what a node with slots has.
func (m *machine) slotless(t *testing.T) {
	t.Helper()
	system := filepath.Join(m.root, "etc/systemd/system")
	for _, path := range []string{
		filepath.Join(system, "multi-user.target.wants"), filepath.Join(m.root, "etc/tmpfiles.d/nodeseal.conf"),
		filepath.Join(m.root, "etc/crio"), filepath.Join(m.root, slot.DefaultRoot), filepath.Join(m.root, "var/usrlocal/bin/nodeseal"),
	} {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	units, err := filepath.Glob(filepath.Join(system, "*nodeseal*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, reader := range readers() {
		units = append(units, filepath.Join(system, reader+".service"))
	}
	for _, unit := range units {
		if err := os.RemoveAll(unit); err != nil {
			t.Fatal(err)
		}
	}
}

// loops makes the nodes of loop devices at boot: there is no udev in a container.
func (m *machine) loops(t *testing.T) {
	t.Helper()
	var conf strings.Builder
	conf.WriteString("c! /dev/loop-control 0600 root root - 10:237\n")
	for i := range 256 {
		fmt.Fprintf(&conf, "b! /dev/loop%d 0600 root root - 7:%d\n", i, i)
	}
	m.write(t, "etc/tmpfiles.d/loops.conf", conf.String())
}

// node is a client of the machine's CRI-O.
func (b *booted) node(t *testing.T) *node {
	t.Helper()
	conn, err := grpc.NewClient("unix:///proc/"+b.pid+"/root/run/crio/crio.sock", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &node{t: t, dir: "/run/e2e", conn: conn, images: cri.NewImageServiceClient(conn), pods: cri.NewRuntimeServiceClient(conn)}
}
