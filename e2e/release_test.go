//go:build e2e

package e2e

import (
	"debug/elf"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/release"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// TestRelease makes a release for this machine's platform out of two copies of the source, in
// other directories: the same bytes. The binary is static, the manual has its
// pages, and podman and skopeo read the image.
func TestRelease(t *testing.T) {
	t.Parallel()
	const version = "v0.0.1-test.1"
	outs := [2]string{}
	for i := range outs {
		source := filepath.Join(t.TempDir(), strings.Repeat("deeper/", i)+"source")
		if err := os.MkdirAll(source, 0o755); err != nil {
			t.Fatal(err)
		}
		harness.Must(t, "cp", "-r", "../go.mod", "../go.sum", "../LICENSE", "../cmd", "../bundle", "../layout", "../internal", source)
		outs[i] = filepath.Join(t.TempDir(), "dist")
		err := release.Make(t.Context(), release.Options{
			Source: source, Out: outs[i], Version: version, Time: time.Unix(1_700_000_000, 0),
			Platforms: []string{"linux/" + runtime.GOARCH}, Tags: "containers_image_openpgp exclude_graphdriver_btrfs",
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	dir, name := outs[0], "nodeseal-linux-"+runtime.GOARCH
	sums := harness.ReadFile(t, dir, "SHA256SUMS")
	if other := harness.ReadFile(t, outs[1], "SHA256SUMS"); string(sums) != string(other) {
		t.Fatalf("two releases of one commit:\n%s\n%s", sums, other)
	}
	check := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "SHA256SUMS")
	check.Dir = dir
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("sha256sum: %v\n%s", err, out)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != strings.Count(string(sums), "\n")+1 {
		t.Errorf("%d files, %v, with these checksums:\n%s", len(files), err, sums)
	}
	program, err := elf.Open(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	for _, p := range program.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the binary is not static")
		}
	}
	bill := string(harness.ReadFile(t, dir, name+".cdx.json"))
	for _, want := range []string{`"github.com/klauspost/compress"`, `"h1:`, harness.HashFile(t, filepath.Join(dir, name))} {
		if !strings.Contains(bill, want) {
			t.Errorf("the bill of materials has no %s:\n%s", want, bill)
		}
	}
	pages := string(harness.Must(t, "tar", "-tzf", filepath.Join(dir, "nodeseal-"+version+"-pages.tar.gz")))
	for _, want := range []string{"man/man1/nodeseal-import.1\n", "bash-completion/completions/nodeseal\n", "fish/vendor_completions.d/nodeseal.fish\n"} {
		if !strings.Contains(pages, want) {
			t.Errorf("no %s among the pages:\n%s", strings.TrimSpace(want), pages)
		}
	}
	testReleaseImage(t, filepath.Join(dir, "nodeseal-"+version+"-image.tar"), version)
}

// testReleaseImage runs the image of a release, which podman reads out of its archive.
func testReleaseImage(t *testing.T, path, version string) {
	t.Helper()
	testenv.NeedTool(t, "podman")
	testenv.NeedTool(t, "skopeo")
	var config v1.Image
	if err := json.Unmarshal(harness.Must(t, "skopeo", "inspect", "--config", "oci-archive:"+path), &config); err != nil {
		t.Fatal(err)
	}
	if config.Architecture != runtime.GOARCH || config.Config.Labels[v1.AnnotationVersion] != version {
		t.Errorf("configuration of the image: %+v", config)
	}
	run, err := os.MkdirTemp("", "nodeseal-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(run) })
	out := string(harness.Must(t, "podman", "--root", harness.GraphRoot(t), "--runroot", run+"/r", "--tmpdir", run+"/t",
		"--cgroup-manager", "cgroupfs", "--events-backend", "none", "--runtime", "runc",
		"run", "--rm", "--quiet", "--network", "none", "--log-driver", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024",
		"oci-archive:"+path, "version"))
	if !strings.Contains(out, "nodeseal "+version+", ") {
		t.Errorf("the image's program printed\n%s", out)
	}
}
