//go:build attacks

// Package attacks runs the real binary against inputs that want to do harm, and
// holds for each how it must end: the exit code, what it must say, at most how
// much memory it may have taken, and that it ends by itself. docs/attacks.md is
// the table of all cases; `go test -tags attacks ./internal/attacks -update`
// writes it. make attacks runs the cases, as root.
//
// A case is an ordinary test that makes its input in a directory of its own and
// calls attack.run:
//
//	func TestFIFOForBundle(t *testing.T) {
//		dir := t.TempDir()
//		...
//		attack{
//			Name: "stick: a FIFO in the place of a bundle", Before: "hangs for ever",
//			Exit: 4, Says: "not a regular file",
//		}.run(t, "import", filepath.Join(dir, "x.tar.zst"))
//	}
//
// Cases of one kind share a file (chain_test.go, bombs_test.go, stick_test.go ...).
// Inputs are written as streams: what this process holds counts as the binary's.
package attacks

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	mib = 1 << 20
	// defaultMemory is what any command may take for any input.
	defaultMemory = 256 * mib
	// endless is the time after which a command counts as one that hangs. It is
	// generous: machines are slow, and nothing here takes more than half a minute.
	endless = 20 * time.Minute
	table   = "../../docs/attacks.md"
)

// attack is one case: what is tried, and how the command must end.
type attack struct {
	// Name is "kind: what is tried", one line of the table.
	Name string
	// Before is what the last version without the defence did, as text for the table.
	Before string
	// Exit is the exit code that it must have.
	Exit int
	// Says must stand in what it prints on stderr or stdout; "" asks for nothing.
	Says string
	// Silent must not stand in it; "" asks for nothing.
	Silent string
	// Memory is how much memory it may take, in bytes; 0 is defaultMemory.
	Memory int64
	// Dir is the working directory; "" is that of the test.
	Dir string
	// Env is added to the environment.
	Env []string
	// Stdin is what the command reads.
	Stdin []byte
	// After checks what the command left behind, beside how it ended; it may be nil.
	After func(t *testing.T, o outcome)
}

// outcome is how a command ended.
type outcome struct {
	Exit           int
	Memory         int64 // resident at the most, in bytes
	Stdout, Stderr string
	Took           time.Duration
	CPU            time.Duration // of processors, without the kernel's
}

// run runs nodeseal with args and holds the outcome to the case. It may be called once
// for each case; further commands of a case use nodeseal.
func (a attack) run(t *testing.T, args ...string) outcome {
	t.Helper()
	return a.hold(t, nodeseal(t, a.Dir, a.Env, a.Stdin, args...))
}

// script is run for a script that a person calls, by the shell.
func (a attack) script(t *testing.T, args ...string) outcome {
	t.Helper()
	return a.hold(t, command(t, "/bin/sh", a.Dir, a.Env, a.Stdin, args...))
}

// hold holds how a command ended to the case.
func (a attack) hold(t *testing.T, o outcome) outcome {
	t.Helper()
	said := o.Stdout + o.Stderr
	if o.Exit != a.Exit {
		t.Errorf("exit code %d, want %d\n%s", o.Exit, a.Exit, said)
	}
	if !strings.Contains(said, a.Says) {
		t.Errorf("it does not say %q:\n%s", a.Says, said)
	}
	if a.Silent != "" && strings.Contains(said, a.Silent) {
		t.Errorf("it says %q:\n%s", a.Silent, said)
	}
	bound := a.Memory
	if bound == 0 {
		bound = defaultMemory
	}
	if o.Memory > bound {
		t.Errorf("%d MiB resident, at most %d are allowed", o.Memory/mib, bound/mib)
	}
	if a.After != nil {
		a.After(t, o)
	}
	t.Logf("%s: exit code %d, %d MiB, %v, of them %v of processors", a.Name, o.Exit, o.Memory/mib, o.Took, o.CPU)
	results.add(a, o)
	return o
}

// nodeseal runs the binary: dir, env and stdin as in attack. A run that does not end is
// killed and fails the test.
func nodeseal(t *testing.T, dir string, env []string, stdin []byte, args ...string) outcome {
	t.Helper()
	bin := os.Getenv("NODESEAL_BIN")
	if bin == "" {
		t.Fatal("NODESEAL_BIN is not set: make attacks sets it")
	}
	return command(t, bin, dir, env, stdin, args...)
}

// command runs a program, as nodeseal does.
func command(t *testing.T, bin, dir string, env []string, stdin []byte, args ...string) outcome {
	t.Helper()
	// What this process has held when it forks counts as the child's peak.
	debug.FreeOSMemory()
	must(t, os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)) // it forgets its own peak (proc(5))
	ctx, cancel := context.WithTimeout(t.Context(), endless)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s %s: %v", filepath.Base(bin), strings.Join(args, " "), err)
	}
	if ctx.Err() != nil {
		t.Fatalf("%s %s did not end within %v\n%s%s", filepath.Base(bin), strings.Join(args, " "), endless, stdout.String(), stderr.String())
	}
	o := outcome{Exit: cmd.ProcessState.ExitCode(), Stdout: stdout.String(), Stderr: stderr.String(), Took: time.Since(start), CPU: cmd.ProcessState.UserTime()}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		o.Memory = usage.Maxrss * 1024
	}
	return o
}

// collected is what the cases of this run gave.
type collected struct {
	mu   sync.Mutex
	rows map[string]string
}

var (
	results = collected{rows: make(map[string]string)}
	update  = flag.Bool("update", false, "write docs/attacks.md from the cases that run")
)

func (c *collected) add(a attack, o outcome) {
	c.note(a, fmt.Sprintf("exit %d, %d MiB", o.Exit, (o.Memory+mib-1)/mib))
}

// note adds what came of a case; text ends with a comma and the memory.
func (c *collected) note(a attack, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rows[a.Name] = fmt.Sprintf("| %s | %s | %s |", a.Name, a.Before, text)
}

// TestMain compares docs/attacks.md with the cases that ran: their names and
// exit codes, not the memory, which moves.
func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if code == 0 {
		if err := results.hold(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

const head = `# What was tried against nodeseal, and how it ended

For reviewers. Each line is a test that runs the real binary: ` + "`make attacks`" + ` (as root). The last column is what a run of these tests
gave: the exit code, and how much memory the command had resident at the most. At most 256 MiB are allowed for any input.

| what is tried | before it was defended | today |
|---|---|---|
`

// hold compares the table with what ran, or with -update writes it.
func (c *collected) hold() error {
	old, err := os.ReadFile(table)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	rows := make(map[string]string)
	for _, line := range strings.Split(string(old), "\n") {
		if name, ok := rowName(line); ok {
			rows[name] = line
		}
	}
	var missing []string
	for name, row := range c.rows {
		if !*update && !sameButMemory(rows[name], row) {
			missing = append(missing, row)
		}
		rows[name] = row
	}
	if !*update {
		if len(missing) > 0 {
			slices.Sort(missing)
			return fmt.Errorf("%s does not have these lines (go test -tags attacks ./internal/attacks -update):\n%s",
				filepath.Base(table), strings.Join(missing, "\n"))
		}
		return nil
	}
	lines := make([]string, 0, len(rows))
	for _, row := range rows {
		lines = append(lines, row)
	}
	slices.Sort(lines)
	return os.WriteFile(table, []byte(head+strings.Join(lines, "\n")+"\n"), 0o644)
}

// rowName returns the name of the case in a line of the table.
func rowName(line string) (string, bool) {
	cells := strings.Split(line, " | ")
	if len(cells) != 3 || !strings.HasPrefix(cells[0], "| ") || cells[0] == "| what is tried" {
		return "", false
	}
	return strings.TrimPrefix(cells[0], "| "), true
}

// sameButMemory compares two lines up to the memory.
func sameButMemory(a, b string) bool {
	cut := func(s string) string { return s[:strings.LastIndex(s, ", ")+1] }
	return a != "" && cut(a) == cut(b)
}
