// Package runimage starts a program of an image straight from a store: by
// podman where it can start containers, else by an overlay mount and namespaces
// of its own. Either way it has no network but its own loopback, and what it
// writes goes to a directory that is removed afterwards.
package runimage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/userns"
)

// ErrSetup is wrapped by errors of Run where the container could not be made:
// no right to mount or to make namespaces, or no such program in the image.
var ErrSetup = errors.New("container could not be set up")

const (
	// hookName is the program's own name (argv[0]) in the process that becomes
	// the container.
	hookName = "nodeseal-container"
	// specFD is where that process reads its job, reportFD where it writes why
	// it could not do it. reportFD closes when the program starts.
	specFD   = 3
	reportFD = 4
)

// Spec is a program to run and the files that it sees.
type Spec struct {
	// Lowers are the diff directories of the image's layers, the top one first,
	// as overlay's lowerdir has them. They are only read.
	Lowers []string
	// Args is the program, by its absolute path in the image, and its arguments.
	Args []string
	// Env is its environment, as os.Environ.
	Env []string
	// Dir is its working directory in the image, "/" where empty.
	Dir string
	// Scratch is a directory in which what the program writes is kept while it
	// runs, on a file system that overlay can write to; the system's directory
	// for temporary files where empty.
	Scratch string
}

// Result is what a program that was started left.
type Result struct {
	Stdout, Stderr []byte
	// ExitCode is the program's; 128 and the signal's number where one ended it.
	ExitCode int
}

// job is what the process that becomes the container reads.
type job struct {
	Spec     Spec
	Work     string // the directory of this run
	UserAttr bool   // overlay keeps its marks in user.*, as in a user namespace
}

// Hook is to be called at the begin of main, after userns.Hook. It returns nil
// at once, but in a process that Run started: there it makes the container and
// executes the program, and returns only with an error that Run has been told.
func Hook() error {
	if os.Args[0] != hookName {
		return nil
	}
	report := os.NewFile(reportFD, "report")
	unix.CloseOnExec(specFD)
	unix.CloseOnExec(reportFD)
	err := contain(os.NewFile(specFD, "spec"))
	if _, writeErr := report.WriteString(err.Error()); writeErr != nil {
		err = errors.Join(err, writeErr)
	}
	return err
}

// Run runs a program in new mount, process, network, host name and IPC
// namespaces on an overlay mount of its image, and waits for it. It needs to be
// root, of the machine or of a user namespace. Nothing is left behind: neither
// mounts, which end with their namespace, nor files. When ctx ends all processes
// of the container are killed. main must call Hook.
func Run(ctx context.Context, spec Spec) (result Result, err error) {
	if len(spec.Args) == 0 || len(spec.Lowers) == 0 {
		return Result{}, fmt.Errorf("%w: no program or no layer", ErrSetup)
	}
	work, err := os.MkdirTemp(spec.Scratch, "nodeseal-run-")
	if err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	defer func() {
		if removeErr := os.RemoveAll(work); removeErr != nil {
			err = errors.Join(err, fmt.Errorf("removing what the container wrote: %w", removeErr))
		}
	}()
	specData, err := json.Marshal(job{Spec: spec, Work: work, UserAttr: inUserNamespace()})
	if err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	specFile := filepath.Join(work, "spec")
	if err := os.WriteFile(specFile, specData, 0o600); err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	return start(ctx, specFile)
}

// start starts the process that becomes the container and waits for it.
func start(ctx context.Context, specFile string) (Result, error) {
	specs, err := os.Open(specFile)
	if err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	defer specs.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	defer r.Close()

	// The kernel ends the container when the thread that made it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = []string{hookName}
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.ExtraFiles = []*os.File{specs, w} // become specFD and reportFD
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Pdeathsig:  unix.SIGKILL,
	}
	err = cmd.Start()
	w.Close() // the child has its own, and r ends when that is closed
	if err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	report, readErr := io.ReadAll(r)
	err = cmd.Wait()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return Result{}, fmt.Errorf("running a container: %w", ctx.Err())
	case len(report) > 0:
		return Result{}, fmt.Errorf("%w: %s", ErrSetup, report)
	case err != nil && !errors.As(err, &exit):
		return Result{}, fmt.Errorf("running a container: %w", err)
	case readErr != nil:
		return Result{}, fmt.Errorf("running a container: %w", readErr)
	}
	return Result{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), ExitCode: exitCode(cmd.ProcessState)}, nil
}

func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

// inUserNamespace reports whether overlay cannot use trusted.* attributes here.
func inUserNamespace() bool {
	data, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return userns.Inside()
	}
	return strings.Join(strings.Fields(string(data)), " ") != "0 0 4294967295"
}
