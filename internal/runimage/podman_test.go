package runimage

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/testenv"
)

// podmanStore makes a store with one image, the test's own program, by podman.
func podmanStore(t *testing.T, ref string) string {
	t.Helper()
	testenv.NeedRoot(t)
	testenv.NeedTool(t, "runc")
	podman := testenv.NeedTool(t, "podman")
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for name, content := range map[string][]byte{
		"program": program, "data/upper-wins": []byte("top"), "data/overwrite": nil, "data/rename": nil, "data/remove": nil,
	} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	run, err := os.MkdirTemp("", "nodeseal-") // short, as podman wants it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(run) })
	store := filepath.Join(dir, "store")
	cmd := exec.CommandContext(t.Context(), podman, "--root", store, "--runroot", run,
		"--storage-driver", "overlay", "import", "-", ref)
	cmd.Stdin = &layer
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("podman import: %v: %s", err, out)
	}
	return store
}

func TestRunPodman(t *testing.T) {
	t.Parallel()
	const ref = "quay.io/nodeseal-test/program:1"
	store := podmanStore(t, ref)
	if err := PodmanUsable(t.Context()); err != nil {
		t.Fatal(err)
	}
	scratch := t.TempDir()
	tests := []struct {
		name     string
		ref      string
		args     []string
		stdout   string
		exitCode int
		setup    string // in the error, which then wraps ErrSetup
	}{
		{name: "writes", ref: ref, args: []string{"/program", "in-container", "write"}, stdout: "write pid 1 in / on "},
		{name: "exit code", ref: ref, args: []string{"/program", "in-container", "exit"}, exitCode: 7},
		{name: "no such program", ref: ref, args: []string{"/missing"}, setup: "no such file"},
		{name: "no such image", ref: "quay.io/nodeseal-test/missing:1", setup: "image not known"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := RunPodman(t.Context(), store, test.ref, test.args, scratch)
			if test.setup != "" && (!errors.Is(err, ErrSetup) || !strings.Contains(err.Error(), test.setup)) {
				t.Errorf("error %v, want one that wraps ErrSetup, with %q", err, test.setup)
			}
			if test.setup == "" && err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(got.Stdout), test.stdout) || got.ExitCode != test.exitCode {
				t.Errorf("exit code %d, stdout %q, stderr %q; want %d, %q", got.ExitCode, got.Stdout, got.Stderr, test.exitCode, test.stdout)
			}
		})
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("left in the scratch directory: %v, %v", left, err)
	}
}

func TestPodmanMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if err := PodmanUsable(t.Context()); !errors.Is(err, ErrNoPodman) {
		t.Errorf("error %v, want ErrNoPodman", err)
	}
}
