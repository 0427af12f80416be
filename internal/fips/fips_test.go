package fips

import (
	"crypto/fips140"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// again is a variable with which this test's program plays one that has the hook: its value
// is the file that the kernel would answer in.
const again = "NODESEAL_TEST_FIPS"

func TestMain(m *testing.M) {
	if path := os.Getenv(again); path != "" {
		if err := enter(read(path), os.Environ(), unix.Exec); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		rename("/proc/self/comm")
		comm, _ := os.ReadFile("/proc/self/comm")
		fmt.Printf("%v %s %s", fips140.Enabled(), os.Getenv("GODEBUG"), comm)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestHook starts a program with the hook on nodes of every kind: on one in FIPS mode it is
// in that mode, unless somebody said otherwise; elsewhere it is as it was started.
func TestHook(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ node, debug, want string }{
		"in FIPS mode":             {node: "1\n", want: "true fips140=on fips.test"},
		"with another setting":     {node: "1\n", debug: "madvdontneed=1", want: "true madvdontneed=1,fips140=on fips.test"},
		"switched off by somebody": {node: "1\n", debug: "fips140=off", want: "false fips140=off fips.test"},
		"switched on already":      {node: "1\n", debug: "fips140=on", want: "true fips140=on fips.test"},
		"not in FIPS mode":         {node: "0\n", want: "false  fips.test"},
		"an answer of another":     {node: "", want: "false  fips.test"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "fips_enabled")
			if err := os.WriteFile(path, []byte(test.node), 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), self)
			cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GODEBUG=") }), again+"="+path)
			if test.debug != "" {
				cmd.Env = append(cmd.Env, "GODEBUG="+test.debug)
			}
			out, err := cmd.CombinedOutput()
			if got := strings.TrimSuffix(string(out), "\n"); err != nil || got != test.want {
				t.Errorf("%v, printed %q, want %q", err, got, test.want)
			}
		})
	}
}

// TestNoFile holds that a kernel without the mode is no error.
func TestNoFile(t *testing.T) {
	t.Parallel()
	if s := read(filepath.Join(t.TempDir(), "none")); s.Node {
		t.Errorf("%+v", s)
	}
}

// TestHookFails holds that a program which cannot start again does not go on in the wrong
// mode.
func TestHookFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("no")
	err := enter(State{Node: true}, nil, func(string, []string, []string) error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}
