package runimage

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// hostname is the container's.
const hostname = "sealed"

// keptCapabilities are those that container engines leave to root by default.
// Without the others it cannot make device nodes or change the machine.
func keptCapabilities() map[int]bool {
	return map[int]bool{
		unix.CAP_CHOWN: true, unix.CAP_DAC_OVERRIDE: true, unix.CAP_FOWNER: true, unix.CAP_FSETID: true,
		unix.CAP_KILL: true, unix.CAP_NET_BIND_SERVICE: true, unix.CAP_SETFCAP: true, unix.CAP_SETGID: true,
		unix.CAP_SETPCAP: true, unix.CAP_SETUID: true, unix.CAP_SYS_CHROOT: true,
	}
}

// contain turns this process, in its new namespaces, into the container.
func contain(specs io.Reader) error {
	// Capabilities are a thread's: the one that drops them must execute.
	runtime.LockOSThread()
	var j job
	if err := json.NewDecoder(specs).Decode(&j); err != nil {
		return fmt.Errorf("reading the job: %w", err)
	}
	// What is mounted here must not appear outside.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	root, err := mountImage(j)
	if err != nil {
		return err
	}
	if err := mountSystem(root); err != nil {
		return err
	}
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("bringing up the loopback interface: %w", err)
	}
	if err := unix.Sethostname([]byte(hostname)); err != nil {
		return fmt.Errorf("setting the host name: %w", err)
	}
	if err := enter(root, j.Spec.Dir); err != nil {
		return err
	}
	if err := dropCapabilities(); err != nil {
		return err
	}
	err = unix.Exec(j.Spec.Args[0], j.Spec.Args, j.Spec.Env)
	return fmt.Errorf("starting %s: %w", j.Spec.Args[0], err)
}

// mountImage mounts the layers with a directory to write to on top, and returns
// where.
func mountImage(j job) (root string, err error) {
	for _, name := range []string{"upper", "work", "root", "l"} {
		if err := os.Mkdir(filepath.Join(j.Work, name), 0o755); err != nil {
			return "", err
		}
	}
	// The options must fit into a page, and a colon separates directories: short
	// relative names stand for the layers, as in a store.
	if err := os.Chdir(j.Work); err != nil {
		return "", err
	}
	lowers := make([]string, len(j.Spec.Lowers))
	for i, dir := range j.Spec.Lowers {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", err
		}
		lowers[i] = "l/" + strconv.Itoa(i)
		if err := os.Symlink(abs, lowers[i]); err != nil {
			return "", err
		}
	}
	options := "lowerdir=" + strings.Join(lowers, ":") + ",upperdir=upper,workdir=work"
	if j.UserAttr {
		options += ",userxattr"
	}
	if err := unix.Mount("overlay", "root", "overlay", 0, options); err != nil {
		return "", fmt.Errorf("mounting the image's %d layers by overlay: %w", len(lowers), err)
	}
	return filepath.Join(j.Work, "root"), nil
}

// mountSystem gives the container /proc and the harmless devices in /dev.
func mountSystem(root string) error {
	for _, name := range []string{"proc", "dev"} {
		dir := filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		// A link would lead out of the image as long as the root is the old one.
		if info, err := os.Lstat(dir); err != nil || !info.IsDir() {
			return fmt.Errorf("/%s of the image is not a directory", name)
		}
	}
	const safe = unix.MS_NOSUID | unix.MS_NOEXEC
	proc := filepath.Join(root, "proc")
	// In a container whose /proc is partly covered the kernel refuses a new one
	// to an ordinary user. A program can live without.
	if err := unix.Mount("proc", proc, "proc", safe|unix.MS_NODEV, ""); err != nil && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	dev := filepath.Join(root, "dev")
	if err := unix.Mount("tmpfs", dev, "tmpfs", safe, "mode=755,size=64k"); err != nil {
		return fmt.Errorf("mounting /dev: %w", err)
	}
	for _, name := range []string{"null", "zero", "full", "random", "urandom"} {
		target := filepath.Join(dev, name)
		if err := os.WriteFile(target, nil, 0o666); err != nil {
			return err
		}
		if err := unix.Mount("/dev/"+name, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mounting /dev/%s: %w", name, err)
		}
	}
	return nil
}

// enter makes root the root of this process and leaves the old one behind.
func enter(root, dir string) error {
	if err := os.Chdir(root); err != nil {
		return err
	}
	// The old root lands on the new one, and is there taken away.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("changing the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leaving the old root: %w", err)
	}
	if dir == "" {
		dir = "/"
	}
	if err := os.Chdir(dir); err != nil {
		return fmt.Errorf("entering the working directory: %w", err)
	}
	return nil
}

// dropCapabilities takes from the program, which stays root, what is not kept.
// It ends at the first capability that the kernel does not know.
func dropCapabilities() error {
	kept := keptCapabilities()
	for capability := 0; ; capability++ {
		if kept[capability] {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(capability), 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			break
		}
		if err != nil {
			return fmt.Errorf("dropping capability %d: %w", capability, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("forbidding new privileges: %w", err)
	}
	return nil
}

// loopbackUp brings up lo, the only interface of a new network namespace.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifreq, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifreq.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifreq)
}
