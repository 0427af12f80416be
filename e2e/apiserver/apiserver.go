//go:build e2e

// Package apiserver starts a real kube-apiserver with OpenShift's resource
// definitions, and fills it with objects, for tests of what reads a cluster.
package apiserver

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/nodeseal/nodeseal/internal/testenv"
)

// adminToken is the token of a member of system:masters.
const adminToken = "admin-of-the-test"

// Server is a running API server.
type Server struct {
	t testing.TB
	// URL is its address.
	URL string
	// CAFile vouches for its certificate.
	CAFile string
	// client is the administrator's.
	client  *http.Client
	process *exec.Cmd
	kinds   map[string]resource
}

// Start starts etcd and kube-apiserver on free ports of 127.0.0.1. Both end with the
// test.
func Start(t testing.TB) *Server {
	t.Helper()
	etcd := testenv.NeedTool(t, "etcd")
	server := program(t, "kube-apiserver")
	dir := t.TempDir()
	ports := freePorts(t, 3)
	run(t, dir, etcd, "--data-dir", filepath.Join(dir, "etcd"), "--unsafe-no-fsync", "--log-level", "error",
		"--listen-client-urls", ports[0].http(), "--advertise-client-urls", ports[0].http(),
		"--listen-peer-urls", ports[1].http(), "--initial-advertise-peer-urls", ports[1].http(),
		"--initial-cluster", "default="+ports[1].http())
	key := filepath.Join(dir, "service-account.key")
	writeKey(t, key)
	tokens := filepath.Join(dir, "tokens.csv")
	if err := os.WriteFile(tokens, []byte(adminToken+",admin,admin,system:masters\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, URL: "https://" + string(ports[2]), CAFile: filepath.Join(dir, "certs", "apiserver.crt")}
	_, port, _ := net.SplitHostPort(string(ports[2]))
	s.process = run(t, dir, server, "--etcd-servers", ports[0].http(), "--cert-dir", filepath.Join(dir, "certs"),
		"--bind-address", "127.0.0.1", "--secure-port", port, "--token-auth-file", tokens, "--authorization-mode", "RBAC",
		"--service-account-issuer", "https://kubernetes.default.svc", "--service-account-signing-key-file", key,
		"--service-account-key-file", key, "--service-cluster-ip-range", "10.96.0.0/16",
		// Nobody makes the default service accounts and priority classes here.
		"--disable-admission-plugins", "ServiceAccount,Priority")
	s.wait()
	return s
}

// Kill ends the API server at once.
func (s *Server) Kill() { _ = s.process.Process.Kill() }

// CPU is the processor time that the server has used so far.
func (s *Server) CPU() time.Duration {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.process.Process.Pid))
	if err != nil {
		return 0
	}
	// The fields after the name in parentheses; user and system time are in 1/100 s.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	var user, system time.Duration
	if _, err := fmt.Sscan(fields[11], &user); err != nil {
		return 0
	}
	if _, err := fmt.Sscan(fields[12], &system); err != nil {
		return 0
	}
	return (user + system) * 10 * time.Millisecond
}

// program returns the path of a program of Kubernetes, which make e2e-tools builds: a
// test that compiled it would run into its time limit.
func program(t testing.TB, name string) string {
	t.Helper()
	path, err := filepath.Abs("../bin/tools/" + name)
	if err != nil {
		t.Fatal(err)
	}
	_, err = os.Stat(path)
	testenv.Require(t, err == nil, "the test needs %s, built by make e2e-tools: %v", name, err)
	return path
}

// run starts a program that is to live as long as the test. Its log is shown
// where the test fails.
func run(t testing.TB, dir, program string, args ...string) *exec.Cmd {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, filepath.Base(program)+".log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
		if t.Failed() {
			data, _ := os.ReadFile(log.Name())
			t.Logf("the end of %s:\n%s", log.Name(), data[max(0, len(data)-4000):])
		}
	})
	return cmd
}

type address string

func (a address) http() string { return "http://" + string(a) }

// freePorts returns addresses that nobody listens on.
func freePorts(t testing.TB, n int) []address {
	t.Helper()
	var out []address
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		out = append(out, address(l.Addr().String()))
	}
	return out
}

func writeKey(t testing.TB, path string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
}

// wait waits until the server is ready, and makes the administrator's client.
func (s *Server) wait() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Minute)
	defer cancel()
	for {
		client, err := rest.HTTPClientFor(&rest.Config{
			Host: s.URL, BearerToken: adminToken, TLSClientConfig: rest.TLSClientConfig{CAFile: s.CAFile},
		})
		if err == nil {
			s.client = client
			if code, _ := s.request(ctx, http.MethodGet, "/readyz", "", nil); code == http.StatusOK {
				return
			}
		}
		select {
		case <-ctx.Done():
			s.t.Fatal("kube-apiserver does not get ready")
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// request asks as the administrator.
func (s *Server) request(ctx context.Context, method, path, contentType string, body []byte) (int, []byte) {
	req, err := http.NewRequestWithContext(ctx, method, s.URL+path, bytes.NewReader(body))
	if err != nil {
		s.t.Error(err)
		return 0, nil
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer resp.Body.Close()
	var answer bytes.Buffer
	if _, err := answer.ReadFrom(resp.Body); err != nil {
		return 0, []byte(err.Error())
	}
	return resp.StatusCode, answer.Bytes()
}

// Admin writes the administrator's kubeconfig and returns its path.
func (s *Server) Admin() string { return s.Kubeconfig(adminToken) }

// Schedule starts the scheduler, and the controllers that pods of CronJobs and nodes need.
// Both end with the test.
func (s *Server) Schedule() {
	s.t.Helper()
	for name, args := range map[string][]string{
		"kube-scheduler":          nil,
		"kube-controller-manager": {"--controllers", "cronjob-controller,job-controller,node-lifecycle-controller"},
	} {
		dir := s.t.TempDir()
		run(s.t, dir, program(s.t, name), append([]string{
			"--kubeconfig", s.Admin(), "--leader-elect=false", "--secure-port", "0", "--v", "1",
		}, args...)...)
	}
}

// Kubeconfig writes a kubeconfig for a token and returns its path.
func (s *Server) Kubeconfig(token string) string {
	s.t.Helper()
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: test
clusters: [{name: test, cluster: {server: %q, certificate-authority: %q}}]
contexts: [{name: test, context: {cluster: test, user: test}}]
users: [{name: test, user: {token: %q}}]
`, s.URL, s.CAFile, token)
	path := filepath.Join(s.t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// crdDirs are the folders of OpenShift's API module that have the definitions.
func crdDirs() []string {
	return []string{
		"payload-manifests/crds", "config/v1/zz_generated.crd-manifests", "samples/v1/zz_generated.crd-manifests",
		"route/v1/zz_generated.crd-manifests",
	}
}

// variant reports definitions of feature sets that a cluster does not have by
// default.
func variant(name string) bool {
	for _, set := range []string{"CustomNoUpgrade", "DevPreviewNoUpgrade", "TechPreviewNoUpgrade", "OKD", "Hypershift"} {
		if strings.Contains(name, "-"+set+".") || strings.Contains(name, "-"+set+"-") {
			return true
		}
	}
	return false
}
