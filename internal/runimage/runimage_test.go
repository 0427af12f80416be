package runimage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/testenv"
	"github.com/nodeseal/nodeseal/internal/userns"
)

// specVar gives the test's own program, started by a test, a Spec to run.
const specVar = "RUNIMAGE_TEST_SPEC"

// outcome is what Run returned in another process.
type outcome struct {
	Result Result
	Err    string
	Setup  bool // the error wraps ErrSetup
}

func TestMain(m *testing.M) {
	if err := errors.Join(userns.Hook(), Hook()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(99)
	}
	switch {
	case len(os.Args) > 1 && os.Args[1] == "in-container":
		os.Exit(inContainer(os.Args[2]))
	case os.Getenv(specVar) == "":
		os.Exit(m.Run())
	case userns.Needed():
		code, err := userns.Reexec(context.Background(), os.Args, os.Environ())
		if errors.Is(err, userns.ErrUnavailable) {
			code = 98
		}
		os.Exit(code)
	}
	var spec Spec
	if err := json.Unmarshal([]byte(os.Getenv(specVar)), &spec); err != nil {
		os.Exit(97)
	}
	var got outcome
	var err error
	if got.Result, err = Run(context.Background(), spec); err != nil {
		got.Err, got.Setup = err.Error(), errors.Is(err, ErrSetup)
	}
	if err := json.NewEncoder(os.Stdout).Encode(got); err != nil {
		os.Exit(97)
	}
	os.Exit(0)
}

// inContainer is the program of the tests' image.
func inContainer(what string) int {
	switch what {
	case "exit":
		return 7
	case "sleep":
		if err := os.WriteFile("/asleep", nil, 0o600); err != nil {
			return 1
		}
		time.Sleep(math.MaxInt64)
		return 1
	}
	if err := change(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	host, _ := os.Hostname()
	dir, _ := os.Getwd()
	fmt.Printf("%s pid %d in %s on %s", what, os.Getpid(), dir, host)
	return 0
}

// change does to the image's files what a container does, and looks around.
func change() error {
	if data, err := os.ReadFile("/data/upper-wins"); err != nil || string(data) != "top" {
		return fmt.Errorf("order of layers: %q, %w", data, err)
	}
	interfaces, err := net.Interfaces()
	if err != nil || len(interfaces) != 1 || interfaces[0].Flags&net.FlagUp == 0 {
		return fmt.Errorf("interfaces: %v, %w", interfaces, err)
	}
	if err := unix.Mknod("/data/device", unix.S_IFBLK|0o600, int(unix.Mkdev(7, 0))); err == nil {
		return errors.New("a device node could be made")
	}
	return errors.Join(
		os.WriteFile("/data/new", []byte("new"), 0o600),
		os.WriteFile("/data/overwrite", []byte("changed"), 0o600),
		os.Rename("/data/rename", "/data/renamed"),
		os.Remove("/data/remove"),
		os.Chmod("/data", 0o700),
		os.WriteFile("/dev/null", []byte("x"), 0),
	)
}

// image makes the layers of an image with the test's program.
func image(t *testing.T) (lowers []string) {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{
		"top:1/data/upper-wins": []byte("top"), "top:1/data/overwrite": []byte("image"),
		"base:0/data/upper-wins": []byte("base"), "base:0/data/rename": nil, "base:0/data/remove": nil, "base:0/program": program,
	}
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() == 0 { // the files are of the user who runs the container
		out, err := exec.CommandContext(t.Context(), "chown", "-R", "54321:54321", dir).CombinedOutput()
		if err != nil {
			t.Fatalf("chown: %v: %s", err, out)
		}
	}
	return []string{filepath.Join(dir, "top:1"), filepath.Join(dir, "base:0")}
}

// runAsUser runs spec as an ordinary user, in a user namespace.
func runAsUser(t *testing.T, spec Spec) outcome {
	t.Helper()
	data, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(spec.Lowers[len(spec.Lowers)-1], "program")
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = []string{"PATH=/usr/bin:/bin", specVar + "=" + string(data)}
	cmd.Dir = "/"
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54321}}
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	testenv.Require(t, cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 98, "the test needs user namespaces: %s", stderr.String())
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	var got outcome
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return got
}

// runAsRoot runs spec in this process.
func runAsRoot(t *testing.T, spec Spec) outcome {
	t.Helper()
	testenv.NeedRoot(t)
	result, err := Run(t.Context(), spec)
	got := outcome{Result: result}
	if err != nil {
		got.Err, got.Setup = err.Error(), errors.Is(err, ErrSetup)
	}
	return got
}

func TestRun(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		args     []string
		dir      string
		stdout   string
		exitCode int
		setup    bool
	}{
		{name: "writes", args: []string{"/program", "in-container", "write"}, dir: "/data", stdout: "write pid 1 in /data on sealed"},
		{name: "exit code", args: []string{"/program", "in-container", "exit"}, exitCode: 7},
		{name: "no such program", args: []string{"/missing"}, setup: true},
		{name: "no such directory", args: []string{"/program"}, dir: "/missing", setup: true},
	}
	for user, run := range map[string]func(*testing.T, Spec) outcome{"user": runAsUser, "root": runAsRoot} {
		for _, test := range tests {
			t.Run(user+"/"+test.name, func(t *testing.T) {
				t.Parallel()
				lowers := image(t)
				scratch := t.TempDir()
				if err := os.Chmod(scratch, 0o777); err != nil {
					t.Fatal(err)
				}
				got := run(t, Spec{Lowers: lowers, Args: test.args, Dir: test.dir, Scratch: scratch})
				if (got.Err != "") != test.setup || got.Setup != test.setup {
					t.Fatalf("error %q, wraps ErrSetup: %v; want %v", got.Err, got.Setup, test.setup)
				}
				if string(got.Result.Stdout) != test.stdout || got.Result.ExitCode != test.exitCode || len(got.Result.Stderr) > 0 {
					t.Errorf("exit code %d, stdout %q, stderr %q; want %d, %q and nothing",
						got.Result.ExitCode, got.Result.Stdout, got.Result.Stderr, test.exitCode, test.stdout)
				}
				unchanged(t, lowers, scratch)
			})
		}
	}
}

// unchanged holds that the layers are as they were and nothing was left.
func unchanged(t *testing.T, lowers []string, scratch string) {
	t.Helper()
	for name, want := range map[string]string{"overwrite": "image", "upper-wins": "top"} {
		if data, err := os.ReadFile(filepath.Join(lowers[0], "data", name)); err != nil || string(data) != want {
			t.Errorf("layer's %s: %q, %v; want %q", name, data, err, want)
		}
	}
	for _, name := range []string{"rename", "remove"} {
		if _, err := os.Lstat(filepath.Join(lowers[1], "data", name)); err != nil {
			t.Error(err)
		}
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("left in the scratch directory: %v, %v", left, err)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(mounts), scratch) {
		t.Errorf("mounts left below %s: %v", scratch, err)
	}
}

func TestRunEndsWithContext(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	scratch := t.TempDir()
	lowers := image(t)
	go func() { // ends the context when the program runs
		for ctx.Err() == nil {
			if found, _ := filepath.Glob(filepath.Join(scratch, "*", "upper", "asleep")); len(found) > 0 {
				cancel()
			}
			time.Sleep(time.Millisecond)
		}
	}()
	_, err := Run(ctx, Spec{Lowers: lowers, Args: []string{"/program", "in-container", "sleep"}, Scratch: scratch})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	unchanged(t, lowers, scratch)
}

// TestLinkedProc holds that an image's links cannot lead mounts out of it.
func TestLinkedProc(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	lowers := image(t)
	if err := os.Symlink(t.TempDir(), filepath.Join(lowers[0], "proc")); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), Spec{Lowers: lowers, Args: []string{"/program", "in-container", "exit"}}); !errors.Is(err, ErrSetup) {
		t.Errorf("error %v, want ErrSetup", err)
	}
}
