//go:build e2evm

package vm

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

const crioUnit = `[Unit]
Description=CRI-O
RequiresMountsFor=/var/lib/containers

[Service]
Type=notify
ExecStartPre=/usr/local/bin/crio wipe
ExecStart=/usr/local/bin/crio
Delegate=yes
KillMode=process
TasksMax=infinity
TimeoutStartSec=infinity
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
`

// The image of the pause container is one of the slot, as on OpenShift's nodes.
const crioConf = `[crio]
internal_wipe = true
internal_repair = true
[crio.api]
stream_port = "0"
[crio.runtime]
default_runtime = "runc"
cgroup_manager = "systemd"
conmon_cgroup = "system.slice"
pinns_path = "/usr/local/bin/pinns"
hooks_dir = []
selinux = true
# So that pods on the network of the node are confined like others.
hostnetwork_disable_selinux = false
disable_hostport_mapping = true
[crio.runtime.runtimes.runc]
runtime_path = "/usr/sbin/runc"
runtime_type = "oci"
monitor_path = "/usr/bin/conmon"
[crio.image]
pause_image = "PAUSE"
pause_command = "/bin/pause"
[crio.nri]
enable_nri = false
`

// addCRIO gives the root file system CRI-O. It is not enabled.
func addCRIO(t *testing.T, root string) {
	t.Helper()
	tools := filepath.Dir(os.Getenv("NODESEAL_VM"))
	for _, name := range []string{"crio", "pinns"} {
		_, err := os.Stat(filepath.Join(tools, name))
		testenv.Require(t, err == nil, "the test needs CRI-O, built by e2e/tools/crio/build.sh: %v", err)
		harness.Must(t, "cp", filepath.Join(tools, name), root+"/usr/local/bin/"+name)
	}
	for name, text := range map[string]string{
		"etc/systemd/system/crio.service": crioUnit,
		"etc/crio/crio.conf":              crioConf,
		"etc/containers/policy.json":      `{"default": [{"type": "insecureAcceptAnything"}]}`,
		"etc/containers/registries.conf":  "unqualified-search-registries = []\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// runtime is the CRI-O of a machine, which a test asks in the place of kubelet.
type runtime struct {
	m      *machine
	pods   cri.RuntimeServiceClient
	images cri.ImageServiceClient
}

// crio opens the way to the CRI-O of a machine, once in a boot.
func (m *machine) crio(t *testing.T) *runtime {
	t.Helper()
	// The machine's end of the way is open only while this one is.
	way, err := net.Dial("unix", m.node.crioSocket())
	if err != nil {
		t.Fatal(err)
	}
	dial := func(context.Context, string) (net.Conn, error) { return way, nil }
	m.must(t, "setsid socat /dev/virtio-ports/crio UNIX-CONNECT:/run/crio/crio.sock </dev/null >/run/socat 2>&1 &")
	conn, err := grpc.NewClient("passthrough:///crio", grpc.WithContextDialer(dial), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // the machine may be off
	r := &runtime{m: m, pods: cri.NewRuntimeServiceClient(conn), images: cri.NewImageServiceClient(conn)}
	ctx, cancel := context.WithTimeout(t.Context(), hangs/4)
	defer cancel()
	version, err := r.pods.Version(ctx, &cri.VersionRequest{}, grpc.WaitForReady(true))
	r.ok(t, "its version", err)
	t.Logf("CRI-O %s answers", version.RuntimeVersion)
	return r
}

func (r *runtime) ok(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("CRI-O, %s: %v\n%s", what, err, r.m.journal(t))
	}
}

// run runs a script in a container of the image, in a pod of its own with the node's network,
// and returns what the script printed.
func (r *runtime) run(t *testing.T, name, image, script string, mounts ...*cri.Mount) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hangs)
	defer cancel()
	network := &cri.NamespaceOption{Network: cri.NamespaceMode_NODE}
	status, err := r.images.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: image}})
	r.ok(t, image, err)
	if status.Image == nil {
		t.Fatalf("CRI-O has no %s\n%s", image, r.m.journal(t))
	}
	pod := &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: name, Namespace: "vm", Uid: name},
		LogDirectory: "/var/log/pods/" + name,
		Linux:        &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{NamespaceOptions: network}},
	}
	sandbox, err := r.pods.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: pod})
	r.ok(t, "a pod", err)
	created, err := r.pods.CreateContainer(ctx, &cri.CreateContainerRequest{PodSandboxId: sandbox.PodSandboxId, SandboxConfig: pod, Config: &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: "main"},
		Image:    &cri.ImageSpec{Image: image, UserSpecifiedImage: image},
		Command:  []string{"sh", "-c", script},
		LogPath:  "main.log",
		Mounts:   mounts,
		Linux:    &cri.LinuxContainerConfig{SecurityContext: &cri.LinuxContainerSecurityContext{NamespaceOptions: network}},
	}})
	r.ok(t, "a container of "+image, err)
	_, err = r.pods.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: created.ContainerId})
	r.ok(t, "the start of a container of "+image, err)
	for {
		state, err := r.pods.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: created.ContainerId})
		r.ok(t, "a container", err)
		if state.Status.State == cri.ContainerState_CONTAINER_EXITED {
			out := r.m.must(t, "cut -d ' ' -f 4- /var/log/pods/"+name+"/main.log")
			if state.Status.ExitCode != 0 {
				t.Fatalf("a container of %s: exit code %d\n%s\n%s", image, state.Status.ExitCode, out, r.m.journal(t))
			}
			return out
		}
		time.Sleep(500 * time.Millisecond)
	}
}

func (m *machine) journal(t *testing.T) string {
	t.Helper()
	return m.must(t, "journalctl --no-pager -b -o cat -u crio | tail -n 20; journalctl --no-pager -b -k -o cat -g avc: | tail -n 20; true")
}
