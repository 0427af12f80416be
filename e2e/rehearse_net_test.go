//go:build e2e

package e2e

import (
	"archive/tar"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// The network around the node: an API server and a mirror on one host of the cluster's
// subnet, and the registry outside.
const (
	subnetHost = "198.51.100.1"
	outside    = "203.0.113.7"
	subnetSix  = "2001:db8:1::1"
	outsideSix = "2001:db8:2::7"
	rehearsed  = crioRepo + "/app:v1"
)

// jobUnit stands for another service that reaches out, also before its program: it wants the API server, and not the mirror.
const jobUnit = `[Service]
Type=oneshot
ExecStartPre=/bin/bash -c '! exec 3<>/dev/tcp/` + subnetHost + `/5000'
ExecStart=/bin/bash -c 'exec 3<>/dev/tcp/` + subnetHost + `/6443'
ExecStart=/bin/bash -c '! exec 3<>/dev/tcp/` + subnetHost + `/5000'
`

// sixUnit reaches out by IPv6 alone: to the node itself and the API server, and in vain to the mirror and outside.
const sixUnit = `[Service]
Type=oneshot
ExecStart=/bin/bash -c 'exec 3<>/dev/tcp/::1/5000'
ExecStart=/bin/bash -c 'exec 3<>/dev/tcp/` + subnetSix + `/6443'
ExecStart=/bin/bash -c '! exec 3<>/dev/tcp/` + subnetSix + `/5000'
ExecStart=/bin/bash -c '! exec 3<>/dev/tcp/` + outsideSix + `/5000'
`

// rehearsal is a machine with CRI-O as systemd's service, and a network.
type rehearsal struct {
	*machine
	netns string
}

func newRehearsal(t *testing.T) *rehearsal {
	t.Helper()
	for _, tool := range []string{"nft", "ip", "runc", "conmon"} {
		testenv.NeedTool(t, tool)
	}
	r := &rehearsal{machine: newMachine(t), netns: fmt.Sprintf("nodeseal-out-%d", time.Now().UnixNano())}
	r.containers = filepath.Join(filepath.Dir(r.slots), "containers")
	if err := os.Mkdir(r.containers, 0o755); err != nil {
		t.Fatal(err)
	}
	r.addCRIO(t, "")
	r.write(t, "etc/containers/storage.conf", "[storage]\ndriver = \"overlay\"\ngraphroot = \"/var/lib/containers/storage\"\nrunroot = \"/run/containers/storage\"\n")
	r.write(t, "etc/containers/registries.conf", fmt.Sprintf("[[registry]]\nprefix = %q\nlocation = %q\ninsecure = true\n[[registry.mirror]]\nlocation = %q\ninsecure = true\n",
		crioRepo, outside+":5000/nodeseal-e2e", subnetHost+":5000/nodeseal-e2e"))
	r.write(t, "etc/hosts", "127.0.0.1 localhost\n"+outside+" quay.io\n") // CRI-O looks it up
	r.write(t, "etc/systemd/system/job.service", jobUnit)
	r.write(t, "etc/systemd/system/six.service", sixUnit)
	r.write(t, "var/lib/kubelet/kubeconfig", "clusters:\n- name: local\n  cluster:\n    server: https://"+subnetHost+":6443\n- name: six\n  cluster:\n    server: https://["+subnetSix+"]:6443\n")
	r.serveOutside(t)
	return r
}

// serveOutside serves the image on the mirror and outside, and listens as an API server does.
func (r *rehearsal) serveOutside(t *testing.T) {
	t.Helper()
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	m := &imageMaker{t: t, addr: strings.TrimPrefix(server.URL, "http://"), label: "rehearsal"}
	m.push("app", "v1", m.image([]string{"/bin/true"}, m.layer(gzipDefault, []entryOf{{tar.Header{Typeflag: tar.TypeReg, Name: "data", Mode: 0o644}, "rehearsal\n"}})))
	harness.Must(t, "ip", "netns", "add", r.netns)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", r.netns).Run() })
	for _, addr := range []string{subnetHost + "/32", outside + "/32", subnetSix + "/128", outsideSix + "/128"} {
		harness.Must(t, "ip", "-n", r.netns, "addr", "add", addr, "dev", "lo", "nodad") // usable at once
	}
	harness.Must(t, "ip", "-n", r.netns, "link", "set", "lo", "up")
	for _, addr := range []string{subnetHost + ":5000", outside + ":5000", subnetHost + ":6443", "[" + subnetSix + "]:5000", "[" + outsideSix + "]:5000", "[" + subnetSix + "]:6443"} {
		l := listenIn(t, "/run/netns/"+r.netns, addr)
		s := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
		t.Cleanup(func() { _ = s.Close() })
		go func() { _ = s.Serve(l) }()
	}
}

// listenIn listens in a network namespace.
func listenIn(t *testing.T, netns, addr string) (l net.Listener) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with this function
		there, err := os.Open(netns)
		if err == nil {
			defer there.Close()
			err = unix.Setns(int(there.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			l, err = net.Listen("tcp", addr)
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return l
}

// up boots the machine and connects it.
func (r *rehearsal) up(t *testing.T) *booted {
	t.Helper()
	b := r.boot(t)
	_ = harness.Run(t, "ip", "-n", r.netns, "link", "delete", "out") // that of the last boot
	harness.Must(t, "ip", "link", "add", "out", "netns", r.netns, "type", "veth", "peer", "name", "eth0", "netns", b.pid)
	harness.Must(t, "ip", "-n", r.netns, "addr", "add", "198.51.100.254/24", "dev", "out")
	for _, addr := range []string{subnetSix, "2001:db8:1::254"} { // neighbours are asked for addresses of this link alone
		harness.Must(t, "ip", "-n", r.netns, "addr", "add", addr+"/64", "dev", "out", "nodad")
	}
	harness.Must(t, "ip", "-n", r.netns, "link", "set", "out", "up")
	for _, words := range []string{"addr add 198.51.100.2/24 dev eth0", "addr add 2001:db8:1::2/64 dev eth0 nodad", "link set eth0 up",
		"route add default via 198.51.100.254", "-6 route add default via 2001:db8:1::254"} {
		if out := b.run(t, append([]string{"ip"}, strings.Fields(words)...)...); out.Code != 0 {
			t.Fatalf("ip %s: %s", words, out.Stderr)
		}
	}
	return b
}

// reaches wants a program that belongs to no unit that is cut to reach an address: the network is there.
func (b *booted) reaches(t *testing.T, host, port string) {
	t.Helper()
	if out := b.run(t, "bash", "-c", "exec 3<>/dev/tcp/"+host+"/"+port); out.Code != 0 {
		t.Errorf("%s port %s is not reached: %s", host, port, out.Stderr)
	}
}
