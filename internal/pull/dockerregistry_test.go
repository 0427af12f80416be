package pull_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/pull"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// authority is a private certificate authority.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Lab CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// serve writes a server's certificate and key for 127.0.0.1 into dir.
func (a authority) serve(t *testing.T, dir string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "registry"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "EC PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// startDockerRegistry starts the real registry with TLS and a password, and
// returns its host and a client that knows its authority.
func startDockerRegistry(t *testing.T, ca authority, user, pass string) (string, *http.Transport) {
	t.Helper()
	server, htpasswd := testenv.NeedTool(t, "docker-registry"), testenv.NeedTool(t, "htpasswd")
	dir := t.TempDir()
	secrets, err := exec.Command(htpasswd, "-Bbn", user, pass).Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "htpasswd"), secrets, 0o600); err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := ca.serve(t, dir)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := l.Addr().String()
	l.Close() // for the registry to take
	config := fmt.Sprintf(`version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: %s}}
http: {addr: %q, tls: {certificate: %s, key: %s}}
auth: {htpasswd: {realm: lab, path: %s}}
`, filepath.Join(dir, "data"), host, certFile, keyFile, filepath.Join(dir, "htpasswd"))
	configFile := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(configFile, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(server, "serve", configFile)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	client := &http.Client{Transport: transport, Timeout: time.Second}
	for range 100 {
		if resp, err := client.Get("https://" + host + "/v2/"); err == nil {
			resp.Body.Close()
			return host, transport
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("docker-registry does not answer")
	return "", nil
}

// It does not run beside others: the registry takes a port that was free.
func TestDockerRegistry(t *testing.T) {
	ca := newAuthority(t)
	host, transport := startDockerRegistry(t, ca, "eng", "s3cret")

	pushed, err := random.Image(layerSize, 1)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(host + "/acme/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	login := remote.WithAuth(&authn.Basic{Username: "eng", Password: "s3cret"})
	if err := remote.Write(ref, pushed, login, remote.WithTransport(transport)); err != nil {
		t.Fatal(err)
	}
	raw, err := pushed.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	img := image{manifest: digest.FromBytes(raw), bytes: raw}
	layers, err := pushed.Layers()
	if err != nil {
		t.Fatal(err)
	}
	img.layer, img.data = layerBytes(t, layers[0])

	certs := t.TempDir()
	if err := os.WriteFile(filepath.Join(certs, "lab.crt"), ca.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	c, n := newClient(t, pull.Options{CertDir: certs, AuthFile: authFile(t, map[string]string{host: "eng:s3cret"})})
	for _, ref := range []string{host + "/acme/app:v1", host + "/acme/app@" + img.manifest.String()} {
		m, err := c.Manifest(t.Context(), ref)
		if err != nil || m.Digest != img.manifest {
			t.Fatalf("Manifest = %s, %v", m.Digest, err)
		}
		if d, err := c.Head(t.Context(), ref); err != nil || d.Digest != img.manifest {
			t.Fatalf("Head = %+v, %v", d, err)
		}
		for _, offset := range []int64{0, 1000} {
			if err := readBlob(t, c, ref, img, offset); err != nil {
				t.Fatal(err)
			}
		}
	}
	for ref, want := range map[string]error{
		"/acme/app:v2": pull.ErrNotFound, "/acme/none:v1": pull.ErrNotFound,
		"/acme/app@sha256:" + fmt.Sprintf("%064d", 7): pull.ErrNotFound,
	} {
		if _, err := c.Manifest(t.Context(), host+ref); !errors.Is(err, want) {
			t.Errorf("Manifest(%s) = %v, want %v", ref, err, want)
		}
		if _, err := c.Head(t.Context(), host+ref); !errors.Is(err, want) {
			t.Errorf("Head(%s) = %v, want %v", ref, err, want)
		}
	}
	wrong, _ := newClient(t, pull.Options{CertDir: certs, AuthFile: authFile(t, map[string]string{host: "eng:guess"})})
	if _, err := wrong.Manifest(t.Context(), host+"/acme/app:v1"); !errors.Is(err, pull.ErrUnauthorized) {
		t.Errorf("with a wrong password: %v", err)
	}
	stranger, _ := newClient(t, pull.Options{AuthFile: authFile(t, map[string]string{host: "eng:s3cret"})})
	var unknown x509.UnknownAuthorityError
	if _, err := stranger.Manifest(t.Context(), host+"/acme/app:v1"); !errors.As(err, &unknown) {
		t.Errorf("without the authority: %v", err)
	}
	if len(n.list) != 0 {
		t.Errorf("waits %v", n.list)
	}
}
