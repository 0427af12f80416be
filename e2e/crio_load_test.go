//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/e2e/harness"
)

// testLoad pulls 500 times at 50 at a time by CRI-O, and asks 50,000 times by
// HTTP, while other clients read slowly, send half a request, or nonsense.
func (c *crioProof) testLoad(t *testing.T) {
	n := c.answered(t)
	started := time.Now()
	images := append([]string{c.images.tagged}, c.images.all[:4]...)
	const pulls, atOnce = 500, 50
	failed := parallel(pulls, atOnce, func(i int) error { return n.pull(t.Context(), images[i%len(images)]) })
	for _, err := range failed {
		t.Errorf("pull: %v", err)
	}
	t.Logf("%d pulls by CRI-O, %d at a time, in %v", pulls, atOnce, time.Since(started).Round(time.Millisecond))
	n.noLayers()

	stop := n.annoy()
	defer stop()
	client := n.client()
	defer client.CloseIdleConnections()
	var urls []string
	for _, image := range c.images.all {
		urls = append(urls, "http://"+serveAddr+"/v2/"+strings.Replace(image, "@", "/manifests/", 1))
	}
	if each := n.askMany(client, urls); each > maxEach {
		t.Errorf("a request takes %v of a processor, want at most %v", each, maxEach)
	}
	if kib, err := strconv.Atoi(n.resident()); err != nil || kib > 30<<10 {
		t.Errorf("serve has %d KiB resident, %v, want at most 30 MiB", kib, err)
	}
}

// maxEach is how much of a processor a manifest may take, several times what it does. How
// long it takes beside whatever else runs on the machine is logged, and holds nothing.
const maxEach = 2 * time.Millisecond

// askMany asks 50,000 times and returns how much of a processor serve took for each.
func (n *node) askMany(client *http.Client, urls []string) (each time.Duration) {
	n.t.Helper()
	const requests, clients = 50_000, 8
	took := make([]time.Duration, requests)
	cpu, started := n.cpu(), time.Now()
	failed := parallel(requests, clients, func(i int) error {
		begun := time.Now()
		defer func() { took[i] = time.Since(begun) }()
		return fetch(client, urls[i%len(urls)])
	})
	all := time.Since(started)
	for _, err := range failed[:min(len(failed), 5)] {
		n.t.Errorf("%d requests failed: %v", len(failed), err)
	}
	slices.Sort(took)
	used := n.cpu() - cpu
	n.t.Logf("%d requests by %d clients in %v: %.0f a second, median %v, p99 %v, slowest %v; serve used %v of CPU and has %s KiB resident",
		requests, clients, all.Round(time.Millisecond), requests/all.Seconds(), took[requests/2], took[requests*99/100], took[requests-1], used, n.resident())
	return used / requests
}

// cpu is how much of the processors serve has used.
func (n *node) cpu() time.Duration {
	n.t.Helper()
	_, after, _ := strings.Cut(string(harness.ReadFile(n.t, fmt.Sprintf("/proc/%d/stat", n.serving))), ") ")
	var ticks int
	for _, field := range strings.Fields(after)[11:13] {
		value, err := strconv.Atoi(field)
		if err != nil {
			n.t.Fatal(err)
		}
		ticks += value
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func fetch(client *http.Client, url string) error {
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

// parallel calls do for 0 to count-1, atOnce at a time, and returns the errors.
func parallel(count, atOnce int, do func(i int) error) []error {
	var mu sync.Mutex
	var failed []error
	var all sync.WaitGroup
	work := make(chan int)
	for range atOnce {
		all.Go(func() {
			for i := range work {
				if err := do(i); err != nil {
					mu.Lock()
					failed = append(failed, err)
					mu.Unlock()
				}
			}
		})
	}
	for i := range count {
		work <- i
	}
	close(work)
	all.Wait()
	return failed
}

// annoy opens connections that are of no use: more than serve allows that send
// nothing, half a request, nonsense, or never read what they asked for.
func (n *node) annoy() (stop func()) {
	n.t.Helper()
	var conns []net.Conn
	for i := range 600 {
		conn, err := n.dial(n.t.Context(), "tcp", serveAddr)
		if err != nil {
			n.t.Fatal(err)
		}
		conns = append(conns, conn)
		switch i % 4 {
		case 0: // half-open
		case 1:
			_, _ = io.WriteString(conn, "GET /v2/ HTTP/1.1\r\nHost: ")
		case 2:
			_, _ = conn.Write([]byte("\x16\x03\x01\x00\xa5\x01garbage\x00\r\n\r\n"))
		case 3:
			_, _ = io.WriteString(conn, strings.Repeat("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 500))
		}
	}
	return func() {
		for _, conn := range conns {
			conn.Close()
		}
	}
}
