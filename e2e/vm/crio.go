//go:build e2evm

package vm

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"

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

// crioHas asks the CRI-O of a machine, once in a boot, and wants it to have an image.
func (m *machine) crioHas(t *testing.T, image string) {
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
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), hangs/4)
	defer cancel()
	version, err := cri.NewRuntimeServiceClient(conn).Version(ctx, &cri.VersionRequest{}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatalf("CRI-O: %v\n%s", err, m.journal(t))
	}
	t.Logf("CRI-O %s answers", version.RuntimeVersion)
	got, err := cri.NewImageServiceClient(conn).ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: image}})
	if err != nil || got.Image == nil {
		t.Errorf("CRI-O has no %s: %v\n%s", image, err, m.journal(t))
	}
}

func (m *machine) journal(t *testing.T) string {
	t.Helper()
	return m.must(t, "journalctl --no-pager -b -o cat -u crio | tail -n 20; journalctl --no-pager -b -k -o cat -g avc: | tail -n 20; true")
}
