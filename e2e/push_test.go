//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// TestPush fills Debian's docker-registry from a bundle and bundles what it then has: the
// bundles are equal. podman pulls an image from it by the digest that a pod names.
func TestPush(t *testing.T) {
	ca := testenv.NewAuthority(t)
	certs := ca.CertDir(t)
	host := testenv.NeedDockerRegistry(t, ca, "eng", "s3cret")
	auth := testenv.AuthFile(t, map[string]string{host: "eng:s3cret"})
	open := harness.Registry(t)
	var list []string
	for _, ref := range harness.RealImages(t, open, "registry.example/lab") {
		list = append(list, ref)
	}
	slices.Sort(list)
	images := harness.WriteFile(t, "images.lst", strings.Join(list, "\n")+"\n")
	bundle := func(location string, flags ...string) string {
		conf := harness.WriteFile(t, "registries.conf", fmt.Sprintf("[[registry]]\nprefix = \"registry.example\"\nlocation = %q\n", location))
		out := filepath.Join(t.TempDir(), "b.tar.zst")
		harness.MustNodeseal(t, append([]string{"bundle", "-q", "--images", images, "--layers", "original", "--registries-conf", conf, "-o", out}, flags...)...)
		return out
	}
	first := bundle(open)
	push := func(want int, flags ...string) (out struct{ Sent, Mounted, There struct{ Blobs int } }) {
		t.Helper()
		got := harness.Nodeseal(t, append([]string{"push", "-q", "--json", first, host + "/ocp", "--cert-dir", certs}, flags...)...)
		if got.Code != want {
			t.Fatalf("exit code %d, want %d\n%s", got.Code, want, got.Stderr)
		}
		if want == 0 {
			if err := json.Unmarshal(got.Stdout, &out); err != nil {
				t.Fatal(err)
			}
		}
		return out
	}
	push(1, "--authfile", testenv.AuthFile(t, map[string]string{host: "eng:guess"}))
	if out := push(0, "--authfile", auth); out.Sent.Blobs == 0 || out.Mounted.Blobs == 0 || out.There.Blobs != 0 {
		t.Errorf("the first push: %+v", out)
	}
	if out := push(0, "--authfile", auth); out.Sent.Blobs+out.Mounted.Blobs != 0 {
		t.Errorf("the second push: %+v", out)
	}
	again := bundle(host+"/ocp", "--authfile", auth, "--cert-dir", certs)
	if harness.HashFile(t, again) != harness.HashFile(t, first) {
		t.Error("the bundle of what was pushed is another one")
	}
	testenv.NeedTool(t, "podman")
	root := t.TempDir()
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	_, path, _ := strings.Cut(list[0], "/")
	harness.Must(t, "podman", "--root", filepath.Join(root, "r"), "--runroot", filepath.Join(root, "run"), "--tmpdir", filepath.Join(root, "t"),
		"--storage-driver", "vfs", "--events-backend", "none", "pull", "-q", "--authfile", auth, "--cert-dir", certs, host+"/ocp/"+path)
}
