//go:build attacks

package attacks

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serve runs nodeseal serve for a store, calls ask with its address once it answers, and
// ends it as systemd does.
func serve(t *testing.T, store string, ask func(base string)) outcome {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	addr := l.Addr().String()
	must(t, l.Close()) // for the program to take
	debug.FreeOSMemory()
	cmd := exec.CommandContext(t.Context(), os.Getenv("NODESEAL_BIN"), "serve", "--store", store, "--listen", addr)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	must(t, cmd.Start())
	base := "http://" + addr
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if resp, err := http.Get(base + "/v2/"); err == nil {
			must(t, resp.Body.Close())
			break
		}
		if time.Since(start) > endless {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			t.Fatalf("serve does not answer:\n%s", out.String())
		}
	}
	ask(base)
	must(t, cmd.Process.Signal(syscall.SIGTERM))
	err = cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	o := outcome{Exit: cmd.ProcessState.ExitCode(), Stderr: out.String()}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		o.Memory = usage.Maxrss * 1024
	}
	return o
}

// TestServeRecordsBomb serves a store whose records become long and say nothing: the store
// is left out, the reason is logged, and the server goes on.
func TestServeRecordsBomb(t *testing.T) {
	for _, file := range []string{"overlay-images/images.json", "overlay-layers/layers.json", "nodeseal/references.json"} {
		store, _ := filledSlots(t)
		path := filepath.Join(store, file)
		f, err := os.Create(path)
		must(t, err)
		_, err = io.Copy(f, io.MultiReader(strings.NewReader("["), &repeated{each: "{},", left: (32<<20 - 6) / 3 * 3}, strings.NewReader("{}]")))
		must(t, err)
		must(t, f.Close())
		o := serve(t, store, func(base string) {
			for _, url := range []string{"/healthz", "/metrics", "/v2/a/b/manifests/latest"} {
				resp, err := http.Get(base + url)
				must(t, err)
				_, err = io.Copy(io.Discard, resp.Body)
				must(t, errors.Join(err, resp.Body.Close()))
			}
		})
		attack{Name: "slot: " + filepath.Base(file) + " of 32 MiB that says nothing, serve", Before: "not tried"}.hold(t, o)
	}
}
