//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// TestDemo runs the demo as root, as a user with subordinate ids, and as one
// with no id but the own.
func TestDemo(t *testing.T) {
	testenv.NeedRoot(t)
	t.Run("root", func(t *testing.T) { runDemo(t, 0, 0) })
	t.Run("user", func(t *testing.T) {
		uid, gid := newUser(t)
		runDemo(t, uid, gid)
	})
	t.Run("user with one id", func(t *testing.T) { runDemo(t, 54321, 54321) })
}

// newUser makes an ordinary user, with subordinate ids as the system gives them.
func newUser(t *testing.T) (uid, gid uint32) {
	t.Helper()
	name := "nodeseal-e2e-" + strconv.Itoa(os.Getpid())
	harness.Must(t, "useradd", "--no-create-home", name)
	t.Cleanup(func() { _ = exec.Command("userdel", name).Run() })
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	id, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	group, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(id), uint32(group)
}

// runDemo runs the demo in a home of its own and holds that nothing is left
// there or mounted.
func runDemo(t *testing.T, uid, gid uint32) {
	t.Helper()
	home, err := os.MkdirTemp("", "nsdemo-") // podman wants short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = exec.Command("chattr", "-R", "-f", "-i", home).Run()
		_ = os.RemoveAll(home)
	})
	binary := filepath.Join(home, "nodeseal")
	if err := os.WriteFile(binary, harness.ReadFile(t, harness.Binary(t)), 0o755); err != nil {
		t.Fatal(err)
	}
	temp, session := filepath.Join(home, "tmp"), filepath.Join(home, "session")
	for _, dir := range []string{temp, session, home} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(dir, int(uid), int(gid)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), binary, "demo")
	cmd.Dir = home
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + temp, "XDG_RUNTIME_DIR=" + session}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("demo: %v\n%s", err, out)
	}
	t.Logf("%s", out)
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left by the demo: %v, %v", left, err)
	}
	if left, err := os.ReadDir(home); err != nil || len(left) != 3 {
		t.Errorf("left by the demo in the home directory: %v, %v", left, err)
	}
	if mounts := string(harness.ReadFile(t, "/proc/self/mounts")); strings.Contains(mounts, home) {
		t.Errorf("left mounted by the demo:\n%s", mounts)
	}
}
