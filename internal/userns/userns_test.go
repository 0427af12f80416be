package userns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/testenv"
)

// roleVar tells the test's own program what to do when a test starts it.
const roleVar = "USERNS_TEST_ROLE"

// report is what the process in the namespace says of itself.
type report struct {
	UID, GID      int
	Inside, Full  bool
	Needed        bool
	Mounted       string // the error of a mount, empty where it worked
	Chowned       string
	ContainersUID string
}

func TestMain(m *testing.M) {
	if err := Hook(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(99)
	}
	role := os.Getenv(roleVar)
	switch {
	case role == "":
		os.Exit(m.Run())
	case !Inside():
		code, err := Reexec(context.Background(), os.Args, os.Environ())
		if errors.Is(err, ErrUnavailable) {
			code = 98
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(code)
	case role == "exit":
		os.Exit(7)
	case role == "signal":
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	default:
		if err := json.NewEncoder(os.Stdout).Encode(describe(role)); err != nil {
			os.Exit(97)
		}
		os.Exit(0)
	}
}

// describe tries in dir what only root can.
func describe(dir string) report {
	r := report{
		UID: os.Getuid(), GID: os.Getgid(), Inside: Inside(), Full: FullMapping(), Needed: Needed(),
		ContainersUID: os.Getenv("_CONTAINERS_ROOTLESS_UID"),
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		r.Mounted = err.Error()
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		r.Chowned = err.Error()
	} else if err := os.Chown(file, 1000, 1000); err != nil {
		r.Chowned = err.Error()
	}
	return r
}

// asUser starts the test's program as an ordinary user in a role.
func asUser(t *testing.T, role string) (stdout string, code int) {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	data, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	// Another test's child that is born while this is open for writing would keep it busy.
	syscall.ForkLock.RLock()
	err = os.WriteFile(program, data, 0o755)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if role == "describe" {
		role = filepath.Join(dir, "mnt")
		if err := os.Mkdir(role, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = []string{"PATH=/usr/bin:/bin", roleVar + "=" + role}
	cmd.Dir = "/"
	if os.Geteuid() == 0 {
		// An id that no package uses, without subordinate ids.
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54321}}
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	code = cmd.ProcessState.ExitCode()
	testenv.Require(t, code != 98, "the test needs user namespaces: %s", stderr.String())
	if stderr.Len() > 0 {
		t.Errorf("stderr: %s", stderr.String())
	}
	return string(out), code
}

func TestReexec(t *testing.T) {
	t.Parallel()
	out, code := asUser(t, "describe")
	var got report
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
		t.Fatalf("exit code %d, output %q: %v", code, out, err)
	}
	if got.UID != 0 || got.GID != 0 || !got.Inside || got.Needed {
		t.Errorf("not root of the namespace: %+v", got)
	}
	if got.Mounted != "" {
		t.Errorf("mount: %s", got.Mounted)
	}
	if os.Geteuid() == 0 && (got.Full || got.ContainersUID != "54321") {
		t.Errorf("a user without subordinate ids: %+v", got)
	}
	if got.Full != (got.Chowned == "") {
		t.Errorf("full mapping %v, chown %q", got.Full, got.Chowned)
	}
}

func TestReexecExitCode(t *testing.T) {
	t.Parallel()
	for role, want := range map[string]int{"exit": 7, "signal": 128 + 9} {
		if _, code := asUser(t, role); code != want {
			t.Errorf("%s: exit code %d, want %d", role, code, want)
		}
	}
}

func TestOutside(t *testing.T) {
	t.Parallel()
	if Inside() {
		t.Error("Inside in a process that Reexec did not start")
	}
	if Needed() != (os.Geteuid() != 0) {
		t.Error("Needed does not follow the effective user")
	}
}

func TestParseRanges(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, file string
		want       []idRange
		fails      bool
	}{
		{name: "empty"},
		{name: "by name and number", file: "me:100000:65536\nother:165536:65536\n1000:300000:10\n", want: []idRange{{100000, 65536}, {300000, 10}}},
		{name: "comments and blank lines", file: "# ids\n\n me:5:6 \n", want: []idRange{{5, 6}}},
		{name: "no ids", file: "me:5:0\n"},
		{name: "two fields", file: "me:5\n", fails: true},
		{name: "not a number", file: "me:x:5\n", fails: true},
		{name: "too large", file: "me:0:4294967296\n", fails: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := parseRanges(strings.NewReader(test.file), []string{"1000", "me"})
			if (err != nil) != test.fails || !slices.Equal(got, test.want) {
				t.Errorf("got %v, %v; want %v, error %v", got, err, test.want, test.fails)
			}
		})
	}
}

func FuzzParseRanges(f *testing.F) {
	f.Add("me:100000:65536\n# comment\n\n1000:1:1\n")
	f.Add("me:0:4294967296")
	f.Fuzz(func(t *testing.T, file string) {
		ranges, err := parseRanges(strings.NewReader(file), []string{"1000", "me"})
		if err != nil && ranges != nil {
			t.Errorf("both ranges %v and error %v", ranges, err)
		}
		for _, r := range ranges {
			if r.count == 0 {
				t.Errorf("empty range %v", r)
			}
		}
	})
}

func TestCountIDs(t *testing.T) {
	t.Parallel()
	for idMap, want := range map[string]uint64{
		"":                                   0,
		"0 1000 1\n":                         1,
		"0 1000 1\n1 100000 65536\n":         65537,
		"         0          0 4294967295\n": 4294967295,
	} {
		if got := countIDs(idMap); got != want {
			t.Errorf("countIDs(%q) = %d, want %d", idMap, got, want)
		}
	}
}
