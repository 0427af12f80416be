package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Unmount takes a file system away, with all that is mounted below point. It waits
// for what holds it for a moment: an image on it that was mounted stays open as
// long as any process has a copy of that mount, as one that is being started in a
// mount namespace of its own does. It names the processes that still hold it when
// it gives up.
func Unmount(t testing.TB, point string) {
	t.Helper()
	umount := NeedTool(t, "umount")
	var out []byte
	var err error
	for range 600 {
		if out, err = exec.Command(umount, "-R", point).CombinedOutput(); err == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("umount %s: %v: %s%s", point, err, out, strings.Join(holders(point), "\n"))
}

// holders names the processes that have files below point open, or mounts there in
// a mount namespace of their own.
func holders(point string) []string {
	own, _ := os.Readlink("/proc/self/ns/mnt")
	below := func(path string) bool { return path == point || strings.HasPrefix(path, point+"/") }
	var found []string
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range processes {
		var held []string
		links, _ := filepath.Glob(process + "/fd/*")
		for _, link := range append(links, process+"/cwd", process+"/root", process+"/exe") {
			if to, err := os.Readlink(link); err == nil && below(to) {
				held = append(held, filepath.Base(link)+" "+to)
			}
		}
		if namespace, err := os.Readlink(process + "/ns/mnt"); err == nil && namespace != own {
			mounts, _ := os.ReadFile(process + "/mountinfo")
			for line := range strings.Lines(string(mounts)) {
				if fields := strings.Fields(line); len(fields) > 4 && below(fields[4]) {
					held = append(held, "mount "+fields[4])
				}
			}
		}
		if len(held) > 0 {
			command, _ := os.ReadFile(process + "/cmdline")
			found = append(found, fmt.Sprintf("%s (%q): %s", process, command, strings.Join(held, ", ")))
		}
	}
	return found
}
