//go:build e2e

package harness

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/internal/testenv"
)

// Registry starts Debian's docker-registry on a free port of 127.0.0.1, with an
// empty storage of its own, and returns its address as host:port. It ends with
// the test.
func Registry(t testing.TB) string {
	t.Helper()
	program := testenv.NeedTool(t, "docker-registry")
	addr := freeAddr(t)
	config := WriteFile(t, "config.yml", fmt.Sprintf(`version: 0.1
log:
  level: error
storage:
  filesystem:
    rootdirectory: %s
http:
  addr: %s
`, t.TempDir(), addr))
	cmd := exec.Command(program, "serve", config)
	var log bytes.Buffer // it logs each blob that is asked for before it is there
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatalf("docker-registry: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for !answers(ctx, addr) {
		if ctx.Err() != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			t.Fatalf("docker-registry does not answer on %s\n%s", addr, log.Bytes())
		}
		time.Sleep(20 * time.Millisecond)
	}
	return addr
}

func answers(ctx context.Context, addr string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/v2/", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
