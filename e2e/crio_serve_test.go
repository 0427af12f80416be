//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/e2e/harness"
)

// serveAddr is where nodeseal serve answers on the node.
const serveAddr = "127.0.0.1:5055"

// serve starts nodeseal serve on the node; the node's end ends it.
func (n *node) serve() {
	n.t.Helper()
	// A copy, as install.sh puts it on a node: of a file that the linker has just
	// written the kernel maps far more than is used, which counts as resident.
	program := n.path("nodeseal")
	harness.Must(n.t, "cp", "--remove-destination", harness.Binary(n.t), program)
	cmd := n.command(program, "serve", "--root", n.path("slots"), "--quiet")
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	go func() { _ = cmd.Wait() }()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if resp, err := n.client().Get("http://" + serveAddr + "/healthz"); err == nil {
			resp.Body.Close()
			n.serving = cmd.Process.Pid
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatal("nodeseal serve does not answer")
		}
	}
}

// dial connects inside the node's network.
func (n *node) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer own.Close()
	theirs, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", n.holder.Process.Pid))
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	if err := unix.Setns(int(theirs.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	conn, dialErr := new(net.Dialer).DialContext(ctx, network, addr)
	if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err // the thread stays locked, and ends with its goroutine
	}
	runtime.UnlockOSThread()
	return conn, dialErr
}

// client is an HTTP client on the node.
func (n *node) client() *http.Client {
	return &http.Client{
		Transport: &http.Transport{DialContext: n.dial, MaxIdleConnsPerHost: 64, DisableCompression: true},
		Timeout:   20 * time.Second,
	}
}

func (n *node) get(path string) string {
	n.t.Helper()
	client := n.client()
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://" + serveAddr + path)
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return string(body)
}

// metric is the value of one metric, "" where there is none.
func (n *node) metric(name string) string {
	n.t.Helper()
	for line := range strings.Lines(n.get("/metrics")) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// resident is how much memory serve has, in KiB.
func (n *node) resident() string {
	n.t.Helper()
	status := harness.ReadFile(n.t, fmt.Sprintf("/proc/%d/status", n.serving))
	if m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status); m != nil {
		return string(m[1])
	}
	return ""
}
