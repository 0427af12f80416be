//go:build attacks

package attacks

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/testenv"
	"github.com/nodeseal/nodeseal/internal/testregistry"
)

// withinBytes is the memory that everything of a command may take: its own, and what the kernel
// keeps for it and cannot give back.
const withinBytes = 256 << 20

// TestMemoryCgroup runs the commands that move layers inside a memory cgroup of 256 MiB, with a
// release of large layers: as a container or a unit with a limit does. The kernel kills what takes more.
func TestMemoryCgroup(t *testing.T) {
	bin := os.Getenv("NODESEAL_BIN")
	if bin == "" {
		t.Fatal("NODESEAL_BIN is not set: make attacks sets it")
	}
	disk := testenv.NeedFSOfSize(t, "ext4", 4<<30)
	procs := limitedGroup(t)
	conf, list := largeRelease(t)
	run := func(args ...string) {
		t.Helper()
		// The shell goes into the group, and becomes the command.
		cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-c", `echo $$ >"$0" && exec "$@"`, procs, bin}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("nodeseal %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	file, slots := filepath.Join(disk, "rel.tar.zst"), filepath.Join(disk, "slots")
	run("bundle", "--quiet", "--images", list, "--registries-conf", conf, "-o", file)
	run("verify", "--quiet", file)
	run("import", "--quiet", "--gc-threshold", "0", "--root", slots, "--format", "dir", file)
	run("verify", "--quiet", filepath.Join(slots, "a"))
	run("reseal", "--quiet", "--gc-threshold", "0", "--root", slots, file)
	one := filepath.Join(disk, "one")
	run("import", "--quiet", "--gc-threshold", "0", "--store", one, "--format", "image", file)
	run("verify", "--quiet", one)
}

// largeRelease serves three images with layers of 300 MiB together that do not compress and one of
// 400 MiB that does, and returns a registries.conf and their list.
func largeRelease(t *testing.T) (conf, list string) {
	t.Helper()
	const mib = 1 << 20
	dir := t.TempDir()
	content := testregistry.NewContent(filepath.Join(dir, "blobs"))
	must(t, os.Mkdir(filepath.Join(dir, "blobs"), 0o755))
	var refs strings.Builder
	for i, c := range []struct {
		size int64
		data io.Reader
	}{{160 * mib, rand.NewChaCha8([32]byte{1})}, {140 * mib, rand.NewChaCha8([32]byte{2})}, {400 * mib, &repeated{each: "all the same\n", left: 400 * mib}}} {
		layer, err := content.AddTar(func(w *tar.Writer) error {
			if err := w.WriteHeader(&tar.Header{Name: "large", Mode: 0o644, Size: c.size, Typeflag: tar.TypeReg}); err != nil {
				return err
			}
			_, err := io.CopyN(w, c.data, c.size)
			return err
		})
		must(t, err)
		d, err := content.AddImage(fmt.Sprintf("ns/large%d", i), []testregistry.Layer{layer})
		must(t, err)
		fmt.Fprintf(&refs, "registry.example.com/ns/large%d@%s\n", i, d)
	}
	addr, stop, err := (&testregistry.Registry{Content: content}).Serve()
	must(t, err)
	t.Cleanup(stop)
	conf, list = filepath.Join(dir, "registries.conf"), filepath.Join(dir, "images.lst")
	must(t, os.WriteFile(conf, []byte(testregistry.RegistriesConf("registry.example.com", addr)), 0o600))
	must(t, os.WriteFile(list, []byte(refs.String()), 0o600))
	return conf, list
}

// limitedGroup makes a memory cgroup of withinBytes, of version 2 or 1, and returns its file of processes.
// A machine that does not let anybody make one skips the test: nothing that CI installs changes that.
func limitedGroup(t *testing.T) string {
	t.Helper()
	const root = "/sys/fs/cgroup"
	parent, limits := root+"/memory", map[string]int64{"memory.limit_in_bytes": withinBytes}
	if controllers, err := os.ReadFile(root + "/cgroup.controllers"); err == nil {
		if !strings.Contains(string(controllers), "memory") {
			t.Skip("the cgroups of this machine have no memory controller")
		}
		parent, limits = root, map[string]int64{"memory.max": withinBytes, "memory.swap.max": 0}
		if err := os.WriteFile(root+"/cgroup.subtree_control", []byte("+memory"), 0o600); err != nil {
			t.Skipf("this machine does not let its cgroups be divided: %v", err)
		}
	}
	if _, err := os.Stat(parent); err != nil {
		t.Skipf("this machine has no memory cgroups: %v", err)
	}
	group, err := os.MkdirTemp(parent, "nodeseal-test-")
	if errors.Is(err, unix.EROFS) || errors.Is(err, fs.ErrPermission) {
		t.Skipf("this machine does not let memory cgroups be made: %v", err)
	}
	testenv.Require(t, err == nil, "a memory cgroup cannot be made: %v", err)
	t.Cleanup(func() { _ = os.Remove(group) }) // it is empty when the command has ended
	for name, n := range limits {
		err := os.WriteFile(filepath.Join(group, name), fmt.Append(nil, n), 0o600)
		if errors.Is(err, fs.ErrNotExist) && name == "memory.swap.max" {
			continue // a kernel without swap
		}
		testenv.Require(t, err == nil, "the memory of a cgroup cannot be bounded: %v", err)
	}
	return filepath.Join(group, "cgroup.procs")
}
