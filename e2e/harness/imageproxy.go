//go:build e2e

package harness

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// ImageProxy is skopeo experimental-image-proxy, spoken to as ostree's container code,
// which rpm-ostree is built with, does: a packet for each request and reply, and what is
// long through a pipe whose end comes with the reply.
type ImageProxy struct {
	t    testing.TB
	conn int
}

// proxyReply is the proxy's answer to a request.
type proxyReply struct {
	Success bool            `json:"success"`
	Value   json.RawMessage `json:"value"`
	PipeID  uint32          `json:"pipeid"`
	Error   string          `json:"error"`
}

// StartImageProxy starts the proxy with the given registries.conf; before are words that
// come before the command. It ends with the test.
func StartImageProxy(t testing.TB, before []string, registriesConf string) *ImageProxy {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	far := os.NewFile(uintptr(pair[1]), "proxy")
	words := append(append([]string{}, before...), "skopeo", "--insecure-policy", "--registries-conf", registriesConf,
		"experimental-image-proxy", "--sockfd", "3")
	cmd := exec.Command(words[0], words[1:]...)
	cmd.ExtraFiles = []*os.File{far}
	var complaints strings.Builder
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	far.Close()
	p := &ImageProxy{t: t, conn: pair[0]}
	// A proxy that hangs fails the test, and not the whole run.
	if err := unix.SetsockoptTimeval(p.conn, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 120}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Close(p.conn)
		_ = cmd.Process.Signal(unix.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() && complaints.Len() > 0 {
			t.Logf("skopeo says: %s", complaints.String())
		}
	})
	var version string
	if _, err := p.call(&version, "Initialize"); err != nil || !strings.HasPrefix(version, "0.2.") {
		t.Fatalf("Initialize: version %q, %v", version, err)
	}
	return p
}

// call sends one request and returns the pipe that comes with the reply, nil where none does.
func (p *ImageProxy) call(value any, method string, args ...any) (*proxyPipe, error) {
	if args == nil {
		args = []any{}
	}
	request, err := json.Marshal(map[string]any{"method": method, "args": args})
	if err == nil {
		err = unix.Send(p.conn, request, 0)
	}
	if err != nil {
		return nil, err
	}
	buf, control := make([]byte, 32<<10), make([]byte, unix.CmsgSpace(4))
	n, nc, _, _, err := unix.Recvmsg(p.conn, buf, control, unix.MSG_CMSG_CLOEXEC)
	for errors.Is(err, unix.EINTR) { // a receive with a timeout is not restarted after a signal (signal(7))
		n, nc, _, _, err = unix.Recvmsg(p.conn, buf, control, unix.MSG_CMSG_CLOEXEC)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", method, err)
	}
	var reply proxyReply
	if err := json.Unmarshal(buf[:n], &reply); err != nil {
		return nil, fmt.Errorf("%s: %w", method, err)
	}
	if !reply.Success {
		return nil, fmt.Errorf("%s: %s", method, reply.Error)
	}
	if value != nil {
		if err := json.Unmarshal(reply.Value, value); err != nil {
			return nil, fmt.Errorf("%s: value %s: %w", method, reply.Value, err)
		}
	}
	if reply.PipeID == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(control[:nc])
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("%s: %d messages with a pipe, %w", method, len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, fmt.Errorf("%s: %d pipes, %w", method, len(fds), err)
	}
	return &proxyPipe{reply.PipeID, os.NewFile(uintptr(fds[0]), "pipe")}, nil
}

type proxyPipe struct {
	id   uint32
	file *os.File
}

// read reads a pipe into out while the proxy is asked to finish it: it closes its end only then.
func (p *ImageProxy) read(pipe *proxyPipe, out io.Writer) error {
	copied := make(chan error, 1)
	go func() {
		_, err := io.Copy(out, pipe.file)
		copied <- err
	}()
	_, err := p.call(nil, "FinishPipe", pipe.id)
	select {
	case cerr := <-copied:
		if err == nil {
			err = cerr
		}
	case <-time.After(time.Minute):
		err = fmt.Errorf("the proxy did not end its pipe: %w", err)
	}
	pipe.file.Close()
	return err
}

// small makes a request whose answer comes through a pipe.
func (p *ImageProxy) small(value any, method string, args ...any) ([]byte, error) {
	pipe, err := p.call(value, method, args...)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	err = p.read(pipe, &b)
	return []byte(b.String()), err
}

// ReadImage opens ref and reads its manifest, its configuration and every layer. It returns
// the manifest and how many bytes of layers came; each has its digest.
func (p *ImageProxy) ReadImage(ref string) (manifest v1.Manifest, read int64, err error) {
	var image uint32
	if _, err := p.call(&image, "OpenImage", ref); err != nil {
		return manifest, 0, err
	}
	var d digest.Digest
	raw, err := p.small(&d, "GetManifest", image)
	if err != nil {
		return manifest, 0, err
	}
	if err := json.Unmarshal(raw, &manifest); err != nil {
		return manifest, 0, err
	}
	if got := digest.FromBytes(raw); got != d || !strings.HasSuffix(ref, d.String()) {
		return manifest, 0, fmt.Errorf("the manifest of %s is %s, and said to be %s", ref, got, d)
	}
	config, err := p.small(nil, "GetFullConfig", image)
	if err != nil {
		return manifest, 0, err
	}
	if got := digest.FromBytes(config); got != manifest.Config.Digest {
		return manifest, 0, fmt.Errorf("the configuration is %s, want %s", got, manifest.Config.Digest)
	}
	for _, l := range manifest.Layers {
		var size int64
		pipe, err := p.call(&size, "GetBlob", image, l.Digest, l.Size)
		if err != nil {
			return manifest, read, fmt.Errorf("layer %s: %w", l.Digest, err)
		}
		sum := digest.SHA256.Digester()
		if err := p.read(pipe, sum.Hash()); err != nil {
			return manifest, read, fmt.Errorf("layer %s: %w", l.Digest, err)
		}
		if sum.Digest() != l.Digest || size != l.Size {
			return manifest, read, fmt.Errorf("layer %s: %s of %d bytes came, want %d", l.Digest, sum.Digest(), size, l.Size)
		}
		read += l.Size
	}
	_, err = p.call(nil, "CloseImage", image)
	return manifest, read, err
}
