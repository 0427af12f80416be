//go:build e2e

package e2e

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/e2e/harness"
)

// silentDNS gives the node a name server that takes every question and answers none, and
// returns the count of questions.
func (k *kubeNode) silentDNS() *atomic.Int64 {
	k.t.Helper()
	var conn net.PacketConn
	err := k.inside(func() (err error) { conn, err = net.ListenPacket("udp", nodeAddr+":53"); return err })
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { _ = conn.Close() })
	var asked atomic.Int64
	go func() {
		for buf := make([]byte, 512); ; asked.Add(1) {
			if _, _, err := conn.ReadFrom(buf); err != nil {
				return
			}
		}
	}()
	k.write("resolv.conf", "nameserver "+nodeAddr+"\n")
	k.write("hosts", "127.0.0.1 localhost\n")
	for _, name := range []string{"resolv.conf", "hosts"} {
		k.must("mount", "--bind", k.path(name), "/etc/"+name)
	}
	return &asked
}

// testNoDNS pulls as imagePullPolicy: Always does where DNS does not answer: CRI-O waits for
// it, and not with what config --no-registries prints. Static pods are not delayed then.
func (c *crioProof) testNoDNS(t *testing.T) {
	k := newKubeNode(t, c.images.pause)
	asked := k.silentDNS()
	c.fill(k.node, c.images.bundle)
	k.pullHere()
	k.serve()
	k.start()
	started := time.Now()
	if err := k.pull(t.Context(), c.images.app); err != nil {
		t.Errorf("a pull where DNS does not answer: %v", err)
	}
	waited := time.Since(started)
	t.Logf("a pull where DNS does not answer: %v, %d questions", waited.Round(10*time.Millisecond), asked.Load())
	if asked.Load() == 0 || waited < 5*time.Second {
		t.Errorf("CRI-O does not wait for DNS (%v, %d questions): what docs say of it is not so", waited, asked.Load())
	}
	status := func() string {
		return string(k.nodeseal("status", "--root", k.path("slots"), "--storage-conf", k.path("storage.conf")).Stdout)
	}
	const warning = "no answer within a second for quay.io"
	if out := status(); !strings.Contains(oneLine(out), oneLine(warning)) {
		t.Errorf("status does not say %q:\n%s", warning, out)
	}

	k.run("config", "units", "--bundle", c.images.bundle, "--no-registries", "--output", k.path("units"))
	// The script replaces the file, which cannot be done with a mount point.
	harness.Must(t, "sh", k.path("units/etc/nodeseal/hosts.sh"), "add", k.path("hosts"), k.path("units/etc/nodeseal/hosts"))
	k.must("umount", "/etc/hosts")
	k.must("mount", "--bind", k.path("hosts"), "/etc/hosts")
	if out := status(); strings.Contains(oneLine(out), oneLine(warning)) {
		t.Errorf("status with /etc/hosts:\n%s", out)
	}
	k.startKubelet("")
	before := asked.Load()
	for name, image := range map[string]string{"one": c.images.tagged, "two": c.images.listed, "three": c.images.app} {
		started := time.Now()
		k.static(name, sleeper(image, "Always", ""))
		k.isRunning(name)
		t.Logf("with /etc/hosts a pod with Always runs %v after its file appears", time.Since(started).Round(10*time.Millisecond))
	}
	if n := asked.Load() - before; n != 0 {
		t.Errorf("with /etc/hosts DNS is asked %d times", n)
	}
	k.noLayers()
	// What is not in the slots fails at once: nothing waits for a connection either.
	started = time.Now()
	err := k.pull(t.Context(), crioRepo+"/app:missing")
	t.Logf("a pull of what no slot has: %v: %v", time.Since(started).Round(10*time.Millisecond), err)
	if err == nil {
		t.Error("a pull of what no slot has succeeds")
	}
	if n := asked.Load() - before; n != 0 {
		t.Errorf("a pull of what no slot has asks DNS %d times", n)
	}
}
