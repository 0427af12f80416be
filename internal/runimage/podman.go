package runimage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrNoPodman is wrapped by errors of PodmanUsable.
var ErrNoPodman = errors.New("podman is not usable")

// podmanFailed is the least exit code by which podman says that it, not the
// program, failed: 125 for itself, 126 and 127 for a program that it could not
// start.
const podmanFailed, podmanLast = 125, 127

// isolate runs its arguments in new mount and process namespaces: mounts and
// processes that podman leaves (conmon cleans up after podman has ended) end
// with it, and podman's locks in /dev/shm are not those of the machine's podman.
const isolate = `mount --make-rprivate / && mount -t proc proc /proc && mount -t tmpfs shm /dev/shm || exit 125
"$@"
exit $?`

// PodmanUsable returns nil where a podman is installed that runs. Whether it can
// start containers here only RunPodman shows.
func PodmanUsable(ctx context.Context) (err error) {
	run, err := os.MkdirTemp("", "nodeseal-")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoPodman, err)
	}
	defer func() { err = errors.Join(err, removePodman(run)) }()
	cmd := exec.CommandContext(ctx, "podman", "--version")
	cmd.Env = podmanEnv(os.Environ(), run)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %w %s", ErrNoPodman, err, bytes.TrimSpace(out))
	}
	return nil
}

// RunPodman runs a program of the image ref by podman, with the store at storeDir
// as an additional image store, with no network, and waits for it. args are the
// program and its arguments; where there are none the image's own are taken.
// What the program writes is kept below scratch (the system's directory for
// temporary files where empty) and removed. Errors wrap ErrSetup where podman
// could not start the program: an exit code of 125 to 127 counts as such.
func RunPodman(ctx context.Context, storeDir, ref string, args []string, scratch string) (result Result, err error) {
	root, err := os.MkdirTemp(scratch, "nodeseal-podman-")
	if err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	defer func() { err = errors.Join(err, removePodman(root)) }()
	// Podman takes no runroot of more than 50 characters: not below scratch.
	run, err := os.MkdirTemp("", "nodeseal-")
	if err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	defer func() { err = errors.Join(err, removePodman(run)) }()

	// The kernel ends podman when the thread that started it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var stdout, stderr bytes.Buffer
	command := append([]string{"-c", isolate, "sh", "podman"}, podmanArgs(root, run, storeDir, ref, args)...)
	cmd := exec.CommandContext(ctx, "/bin/sh", command...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = podmanEnv(os.Environ(), run)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID, Pdeathsig: unix.SIGKILL}
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return Result{}, fmt.Errorf("running a container by podman: %w", ctx.Err())
	case err != nil && !errors.As(err, &exit):
		return Result{}, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	result = Result{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), ExitCode: exitCode(cmd.ProcessState)}
	if result.ExitCode >= podmanFailed && result.ExitCode <= podmanLast {
		return Result{}, fmt.Errorf("%w: podman: %s", ErrSetup, bytes.TrimSpace(result.Stderr))
	}
	return result, nil
}

func removePodman(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing podman's files: %w", err)
	}
	return nil
}

// podmanEnv makes run the home and the place for temporary files of podman, which
// leaves directories there when an ordinary user runs it.
func podmanEnv(env []string, run string) []string {
	moved := []string{"HOME", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"}
	env = slices.DeleteFunc(slices.Clone(env), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return slices.Contains(moved, name)
	})
	for _, name := range moved {
		env = append(env, name+"="+run)
	}
	return env
}

// podmanArgs keeps podman away from the machine's own storage, from systemd and
// from the network. The limits are what a machine may lack the right to raise.
func podmanArgs(root, run, storeDir, ref string, program []string) []string {
	args := []string{
		"--root", root,
		"--runroot", filepath.Join(run, "r"),
		"--tmpdir", filepath.Join(run, "t"),
		"--storage-driver", "overlay",
		"--storage-opt", "additionalimagestore=" + storeDir,
		"--cgroup-manager", "cgroupfs",
		"--events-backend", "none",
	}
	if _, err := exec.LookPath("runc"); err == nil {
		args = append(args, "--runtime", "runc")
	}
	args = append(args, "run", "--rm", "--pull", "never", "--network", "none", "--log-driver", "none",
		"--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", ref)
	return append(args, program...)
}
