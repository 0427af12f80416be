package testenv

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// NeedDockerRegistry starts Debian's docker-registry, empty, on 127.0.0.1, with
// TLS by the authority and one user in its htpasswd, and returns its host:port.
// It ends with the test. A test that calls it should not run beside others: the
// registry takes a port that was free a moment before.
func NeedDockerRegistry(t testing.TB, ca *Authority, user, password string) string {
	t.Helper()
	server := NeedTool(t, "docker-registry")
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	secret, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := ca.Server(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := l.Addr().String()
	l.Close() // for the registry to take
	config := write("config.yml", fmt.Appendf(nil, `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: %s}}
http: {addr: %q, tls: {certificate: %s, key: %s}}
auth: {htpasswd: {realm: lab, path: %s}}
`, filepath.Join(dir, "data"), host, write("tls.crt", cert), write("tls.key", key),
		write("htpasswd", fmt.Appendf(nil, "%s:%s\n", user, secret))))
	cmd := exec.Command(server, "serve", config)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: ca.Client()}, Timeout: time.Second}
	for range 200 {
		resp, err := client.Get("https://" + host + "/v2/")
		if err == nil {
			resp.Body.Close()
			return host
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("docker-registry does not answer")
	return ""
}

// AuthFile writes an auth.json with user:password by registry or repository.
func AuthFile(t testing.TB, passwords map[string]string) string {
	t.Helper()
	type entry struct {
		Auth string `json:"auth"`
	}
	auths := make(map[string]entry)
	for key, password := range passwords {
		auths[key] = entry{base64.StdEncoding.EncodeToString([]byte(password))}
	}
	data, err := json.Marshal(map[string]any{"auths": auths})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "auth.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
