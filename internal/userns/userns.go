// Package userns runs this program as root of a user namespace, as podman and
// buildah do, where an ordinary user starts what root would otherwise have to:
// extracting layers with their owners, and mounting.
//
// The program starts itself again. The new process is created in the namespace
// and waits; the old one gives it its ids; then it executes the program once
// more, which as root of the namespace gives it the capabilities.
package userns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrUnavailable is wrapped by errors of Reexec where the kernel lets this user
// make no user namespace.
var ErrUnavailable = errors.New("user namespaces are not available to this user")

const (
	// self is the running program, also where its file was replaced.
	self = "/proc/self/exe"
	// stageVar says how far a process that Reexec started has come.
	stageVar    = "_NODESEAL_USERNS"
	stageWait   = "wait"
	stageInside = "inside"
	// mappedFD is the pipe on which a process waits for its ids.
	mappedFD = 3
	// grace is how long a process may take to end after the interrupt.
	grace = 30 * time.Second
)

// Needed reports whether this process is not root, neither of the machine nor
// of a namespace.
func Needed() bool { return os.Geteuid() != 0 }

// Inside reports whether this process was started by Reexec.
func Inside() bool { return os.Getenv(stageVar) == stageInside }

// FullMapping reports whether this process has more than one user and more than
// one group: only then it can give files to others. True for the machine's root.
func FullMapping() bool {
	for _, path := range []string{"/proc/self/uid_map", "/proc/self/gid_map"} {
		data, err := os.ReadFile(path)
		if err != nil || countIDs(string(data)) < 2 {
			return false
		}
	}
	return true
}

// Hook is the first call of main, before anything else is done. It returns nil
// at once, but in a process that Reexec started: there it waits for the ids and
// executes the program again, and returns only with an error.
func Hook() error {
	if os.Getenv(stageVar) != stageWait {
		return nil
	}
	pipe := os.NewFile(mappedFD, "mapping")
	if _, err := pipe.Read(make([]byte, 1)); err != nil {
		return fmt.Errorf("waiting for the ids of the user namespace: %w", err)
	}
	pipe.Close()
	env := append(without(os.Environ(), stageVar), stageVar+"="+stageInside)
	err := unix.Exec(self, os.Args, env)
	return fmt.Errorf("executing the program in its user namespace: %w", err)
}

// Reexec runs this program with args (the first is its own name) and env in new
// user and mount namespaces, as their root, on the standard streams of this
// process, and returns its exit code: 128 and the signal's number where one
// ended it. Where the system gives the user further ids (newuidmap, newgidmap,
// /etc/subuid, /etc/subgid) the namespace has them, else only the user's own.
// When ctx ends the process is interrupted, and killed half a minute later.
// main must call Hook.
func Reexec(ctx context.Context, args, env []string) (exitCode int, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("making a user namespace: %w", err)
	}
	defer r.Close()
	defer w.Close()

	// The kernel ends the child when the thread that made it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, self)
	cmd.Args = args
	cmd.Env = environment(env)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{r} // becomes mappedFD
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		Pdeathsig:  unix.SIGKILL,
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = grace
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("%w (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns): %w", ErrUnavailable, err)
	}
	if err := mapIDs(ctx, cmd.Process.Pid); err != nil {
		return 0, errors.Join(fmt.Errorf("%w: %w", ErrUnavailable, err), cmd.Process.Kill(), ignoreExit(cmd.Wait()))
	}
	_, err = w.Write([]byte{1})
	if waitErr := ignoreExit(cmd.Wait()); waitErr != nil && ctx.Err() == nil {
		err = errors.Join(err, waitErr)
	}
	if err != nil {
		return 0, fmt.Errorf("running in a user namespace: %w", err)
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return cmd.ProcessState.ExitCode(), nil
}

// environment is env for the first stage. Podman and the container libraries
// are told that the namespace is already there, in their own words.
func environment(env []string) []string {
	set := []string{
		stageVar + "=" + stageWait,
		"_CONTAINERS_USERNS_CONFIGURED=done",
		"_CONTAINERS_ROOTLESS_UID=" + strconv.Itoa(os.Geteuid()),
		"_CONTAINERS_ROOTLESS_GID=" + strconv.Itoa(os.Getegid()),
	}
	for _, pair := range set {
		name, _, _ := strings.Cut(pair, "=")
		env = without(env, name)
	}
	return append(env, set...)
}

// without is a copy of env without the variable.
func without(env []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(pair string) bool { return strings.HasPrefix(pair, name+"=") })
}

// ignoreExit drops the error that says that a process ended with a code.
func ignoreExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}
