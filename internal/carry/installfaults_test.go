package carry

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// shells are those that a node, or a rescue system, may run install.sh with.
func shells() map[string][]string {
	all := map[string][]string{"sh": {"sh"}, "dash": {"dash"}, "bash": {"bash", "--posix"}, "busybox": {"busybox", "sh"}}
	for name, argv := range all {
		if _, err := exec.LookPath(argv[0]); err != nil {
			delete(all, name)
		}
	}
	return all
}

// installer is the node's own script.
func installer(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "install.sh")
	if err := os.WriteFile(path, machine.InstallScript(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestInstallFaults: whatever command of install.sh fails, its last line says FAILED and what
// was being done, in every shell; and nothing is left behind.
func TestInstallFaults(t *testing.T) {
	t.Parallel()
	stick := t.TempDir()
	fill(t, stick, options(t))
	script := installer(t)
	for shell, argv := range shells() {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for name, tt := range map[string]struct {
			env  []string
			args []string
			want string
		}{
			"a target below a file":      {[]string{"TARGET=" + file + "/bin/nodeseal"}, []string{stick}, "making " + file + "/bin did not succeed"},
			"a target in the kernel":     {[]string{"TARGET=/proc/self/nodeseal"}, []string{stick}, "writing to /proc/self did not succeed"},
			"no temporary directory":     {[]string{"TMPDIR=" + file}, []string{stick}, "making a directory in " + file},
			"no device":                  {nil, []string{"--device"}, "--device needs one DEVICE"},
			"a device too many":          {nil, []string{"--device", "/dev/x", "/dev/y"}, "--device needs one DEVICE"},
			"a stick that begins with -": {nil, []string{"--none"}, "there is no ./--none/nodeseal"},
		} {
			temp := t.TempDir()
			cmd := exec.CommandContext(t.Context(), argv[0], append(append(argv[1:len(argv):len(argv)], script), tt.args...)...)
			cmd.Env = append(append(os.Environ(), "TMPDIR="+temp, "KEY="+filepath.Join(stick, "none"), "TARGET="+filepath.Join(t.TempDir(), "nodeseal")), tt.env...)
			cmd.Stdin = strings.NewReader("yes\n")
			out, err := cmd.CombinedOutput()
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			last := lines[len(lines)-1]
			if err == nil || !strings.HasPrefix(last, "FAILED: ") || !strings.Contains(last, tt.want) || strings.Count(string(out), "FAILED: ") != 1 {
				t.Errorf("%s, %s: %v, want %q\n%s", shell, name, err, tt.want, out)
			}
			if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
				t.Errorf("%s, %s: left behind: %v, %v", shell, name, left, err)
			}
		}
	}
}

// TestInstallStickWithDash installs from a stick whose path begins with a dash, as a person
// in its parent directory names it.
func TestInstallStickWithDash(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	for _, name := range []string{"-stick", "--device=x", "--"} {
		stick := filepath.Join(parent, name)
		if err := os.Mkdir(stick, 0o755); err != nil {
			t.Fatal(err)
		}
		fill(t, stick, options(t))
		for shell, argv := range shells() {
			cmd := exec.CommandContext(t.Context(), argv[0], append(argv[1:len(argv):len(argv)], installer(t), name)...)
			cmd.Dir = parent
			cmd.Env = append(os.Environ(), "KEY="+filepath.Join(parent, "none"), "TARGET="+filepath.Join(t.TempDir(), "nodeseal"), "ROOT=/slots")
			cmd.Stdin = strings.NewReader("yes\n")
			if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "mount --root /slots") {
				t.Errorf("%s, %s: %v\n%s", shell, name, err, out)
			}
		}
	}
}

// TestInstallNoSpace installs on a full and on a read-only file system.
func TestInstallNoSpace(t *testing.T) {
	testenv.NeedRoot(t)
	stick := t.TempDir()
	fill(t, stick, options(t))
	if err := os.WriteFile(filepath.Join(stick, Program), bytes.Repeat([]byte("program "), 64<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	for shell, argv := range shells() {
		for mode, want := range map[string]string{"size=64k": "copying ", "ro": "making "} {
			dir := testenv.Mount(t, "tmpfs", "tmpfs", "-o", mode)
			cmd := exec.CommandContext(t.Context(), argv[0], append(argv[1:len(argv):len(argv)], installer(t), stick)...)
			cmd.Env = append(os.Environ(), "KEY="+filepath.Join(stick, "none"), "TARGET="+filepath.Join(dir, "bin", "nodeseal"))
			out, err := cmd.CombinedOutput()
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			if err == nil || !strings.HasPrefix(lines[len(lines)-1], "FAILED: "+want) {
				t.Errorf("%s, %s: %v\n%s", shell, mode, err, out)
			}
			if left, err := filepath.Glob(filepath.Join(dir, "bin", "nodeseal*")); err != nil || len(left) > 0 {
				t.Errorf("%s, %s: left behind: %q, %v", shell, mode, left, err)
			}
		}
	}
}

// TestInstallInterrupted: a signal ends install.sh while a person is asked, and nothing is left.
func TestInstallInterrupted(t *testing.T) {
	t.Parallel()
	stick := t.TempDir()
	fill(t, stick, options(t))
	for shell, argv := range shells() {
		for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
			temp, target := t.TempDir(), filepath.Join(t.TempDir(), "nodeseal")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, argv[0], append(argv[1:len(argv):len(argv)], installer(t), stick)...)
			cmd.Env = append(os.Environ(), "TMPDIR="+temp, "KEY="+filepath.Join(stick, "none"), "TARGET="+target)
			var said bytes.Buffer
			cmd.Stderr = &said
			asked, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			held, err := cmd.StdinPipe() // never answered
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var out []byte
			for buf := make([]byte, 4096); !bytes.Contains(out, []byte("(yes or no)")); {
				n, err := asked.Read(buf)
				out = append(out, buf[:n]...)
				if err != nil {
					t.Fatalf("%s: %v\n%s%s", shell, err, out, said.String())
				}
			}
			err = errors.Join(cmd.Process.Signal(signal), held.Close()) // a shell may wait for read
			if werr := cmd.Wait(); err != nil || werr == nil || !strings.Contains(said.String(), "FAILED: ") {
				t.Errorf("%s, %v: %v, %v\n%s", shell, signal, err, werr, said.String())
			}
			left, err := os.ReadDir(temp)
			beside, gerr := filepath.Glob(target + "*")
			if err := errors.Join(err, gerr); err != nil || len(left) > 0 || len(beside) > 0 {
				t.Errorf("%s, %v: left behind: %v, %v, %v", shell, signal, left, beside, err)
			}
		}
	}
}
