//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"regexp"
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
	// The first pod after kubelet's start waits for kubelet. What then is of the pull alone
	// stands in kubelet's events; kubelet itself sees up to a second later that a container
	// runs (its PLEG).
	c.images.pod(k, "first", 0, "Never")
	least := time.Hour
	for i := range 3 {
		never := c.images.pod(k, fmt.Sprintf("never%d", i), i, "Never")
		always := c.images.pod(k, fmt.Sprintf("always%d", i), i, "Always")
		t.Logf("with /etc/hosts a container starts %v after kubelet saw its pod with Never, %v with Always, of which the pull takes %v",
			never.started.Sub(never.added).Round(10*time.Millisecond), always.started.Sub(always.added).Round(10*time.Millisecond), always.pull)
		if never.pull != 0 || always.pull == 0 {
			t.Errorf("pulls took %v with Never and %v with Always: are kubelet's events read rightly?", never.pull, always.pull)
		}
		least = min(least, always.pull)
	}
	if least > 5*time.Second {
		t.Errorf("with /etc/hosts no pull takes less than %v: something still waits", least)
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

// podTimes is when kubelet saw a static pod, when its container was started, and what
// kubelet's pull took, 0 for none.
type podTimes struct {
	added, started time.Time
	pull           time.Duration
}

// pod runs a static pod of one of three images, and reads its times from kubelet's log.
func (images *crioImages) pod(k *kubeNode, name string, i int, policy string) (times podTimes) {
	k.t.Helper()
	k.static(name, sleeper([]string{images.tagged, images.listed, images.app}[i], policy, ""))
	k.isRunning(name)
	pulled := regexp.MustCompile(`Successfully pulled image .* in (\S+) \(`)
	k.wait("kubelet says when "+name+" started", func() bool {
		for line := range strings.Lines(readAny(k.klog.Name())) {
			if !strings.Contains(line, "default/"+name+"-node1") {
				continue
			}
			// I1130 11:00:20.686887 ...
			at, _ := time.Parse("15:04:05.000000", strings.Fields(line)[1])
			switch {
			case strings.Contains(line, `"SyncLoop ADD" source="file"`):
				times.added = at
			case strings.Contains(line, `reason="Started"`):
				times.started = at
			}
			if m := pulled.FindStringSubmatch(line); m != nil {
				times.pull, _ = time.ParseDuration(m[1])
			}
		}
		return !times.added.IsZero() && !times.started.IsZero()
	})
	return times
}
