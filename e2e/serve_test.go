//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/samplerelease"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// TestServe asks nodeseal serve as other tools do: skopeo, an HTTP client, and
// systemd's socket and notification.
func TestServe(t *testing.T) {
	testenv.NeedRoot(t)
	release, err := samplerelease.Build(samplerelease.Options{})
	if err != nil {
		t.Fatal(err)
	}
	addr, stop, err := release.Serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stop() })
	path := filepath.Join(t.TempDir(), "release.tar.zst")
	harness.MustNodeseal(t, "bundle", "-o", path, "--images", harness.WriteFile(t, "images.lst", release.ImagesList()),
		"--registries-conf", harness.WriteFile(t, "registries.conf", samplerelease.RegistriesConf(addr)))
	for _, format := range []string{formatDir, formatImage} {
		t.Run(format, func(t *testing.T) { testServeFrom(t, path, format) })
	}
}

// testServeFrom is TestServe with one form of a store.
func testServeFrom(t *testing.T, bundle, format string) {
	store := harness.StorePath(t)
	harness.MustNodeseal(t, "import", bundle, "--store", store, "--format", format)
	inv := inventoryOf(t, store)
	t.Run("Layers", func(t *testing.T) { testLayers(t, store, inv) })
	t.Run("Skopeo", func(t *testing.T) { testSkopeo(t, store, inv) })
	t.Run("Systemd", func(t *testing.T) { testSystemd(t, store) })
	t.Run("Refuses", func(t *testing.T) {
		out := harness.Nodeseal(t, "serve", "--store", store, "--listen", "0.0.0.0:0")
		if out.Code != 2 || !strings.Contains(string(out.Stderr), "--listen-any") {
			t.Errorf("listening on all addresses: exit code %d\n%s", out.Code, out.Stderr)
		}
	})
}

func inventoryOf(t *testing.T, store string) *bundle.Inventory {
	t.Helper()
	inv, err := bundle.ParseInventory(strings.NewReader(string(harness.ReadFile(t, store, "nodeseal/inventory.json"))))
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

// startServe starts nodeseal serve until the test ends and returns its address.
func startServe(t *testing.T, flags ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	cmd := exec.Command(harness.Binary(t), append([]string{"serve", "--quiet", "--listen", addr}, flags...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("serve ends with %v", err)
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			return addr
		}
		if time.Now().After(deadline) {
			t.Fatal("serve does not answer")
		}
	}
}

// testLayers asks for every layer by its diff ID and by the registry's digest,
// with and without --layers.
func testLayers(t *testing.T, store string, inv *bundle.Inventory) {
	with, without := startServe(t, "--store", store, "--layers"), startServe(t, "--store", store)
	rebuilt, refused := 0, 0
	for _, img := range inv.Images {
		for _, l := range img.Layers {
			for _, d := range []digest.Digest{l.DiffID, l.Digest} {
				if status, _ := getBlob(t, without, d); status != http.StatusNotFound {
					t.Errorf("layer %s without --layers: %d", d, status)
				}
				status, body := getBlob(t, with, d)
				switch {
				case d == l.DiffID && (status != http.StatusOK || digest.FromBytes(body) != d):
					t.Errorf("layer %s of %s: %d, %d bytes\n%.200s", d, img.Ref, status, len(body), body)
				case d != l.DiffID && (status != http.StatusNotFound || !strings.Contains(string(body), l.DiffID.String())):
					t.Errorf("compressed layer %s: %d, want 404 and the diff ID\n%s", d, status, body)
				case d == l.DiffID:
					rebuilt++
				default:
					refused++
				}
			}
		}
	}
	t.Logf("%d layers rebuilt with their digest, %d compressed ones answered with 404", rebuilt, refused)
}

func getBlob(t *testing.T, addr string, d digest.Digest) (int, []byte) {
	t.Helper()
	resp, err := http.Get(fmt.Sprintf("http://%s/v2/any/name/blobs/%s", addr, d))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("blob %s: %v", d, err)
	}
	return resp.StatusCode, body
}

// testSkopeo lets an independent client read every manifest and configuration.
func testSkopeo(t *testing.T, store string, inv *bundle.Inventory) {
	addr := startServe(t, "--store", store)
	for _, img := range inv.Images {
		raw := harness.Must(t, "skopeo", "inspect", "--raw", "--tls-verify=false", "docker://"+addr+"/"+img.Ref)
		if _, want, _ := strings.Cut(img.Ref, "@"); digest.FromBytes(raw).String() != want {
			t.Errorf("%s: skopeo reads %s", img.Ref, digest.FromBytes(raw))
		}
		var config struct {
			RootFS struct {
				DiffIDs []digest.Digest `json:"diff_ids"`
			} `json:"rootfs"`
		}
		out := harness.Must(t, "skopeo", "inspect", "--config", "--raw", "--tls-verify=false", "docker://"+addr+"/"+img.Ref)
		if err := json.Unmarshal(out, &config); err != nil || len(config.RootFS.DiffIDs) != len(img.Layers) {
			t.Errorf("%s: skopeo reads a configuration with %d layers, %v, want %d", img.Ref, len(config.RootFS.DiffIDs), err, len(img.Layers))
		}
	}
}

// testSystemd hands a socket over as systemd does, and waits to be told.
func testSystemd(t *testing.T, store string) {
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notify.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	// The variable must hold the process's own number: a shell sets it.
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, harness.Binary(t), "serve", "--store", store, "--quiet")
	cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "NOTIFY_SOCKET="+notify.LocalAddr().String())
	cmd.ExtraFiles = []*os.File{socket}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	told := func(want string) {
		t.Helper()
		buf := make([]byte, 256)
		if err := notify.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if n, err := notify.Read(buf); err != nil || string(buf[:n]) != want {
			t.Errorf("systemd is told %q, %v, want %q", buf[:n], err, want)
		}
	}
	told("READY=1")
	resp, err := http.Get("http://" + l.Addr().String() + "/healthz")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("on systemd's socket: %v, %v", resp, err)
	}
	_ = cmd.Process.Signal(os.Interrupt)
	told("STOPPING=1")
	if err := cmd.Wait(); err != nil {
		t.Errorf("serve ends with %v", err)
	}
}
