//go:build deaths

package deaths

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// bench is what all machines of the test have: the program, bundles, and a place in memory for disks,
// on which waiting for the disk takes no time.
type bench struct {
	bin, dir, conf, disk string
	bundles              [3]string         // by release; there is no release 0
	stick                string            // with the bundle of release 2
	names                map[string]string // that were left, and by what
}

// seen notes a line of a state.
func (b *bench) seen(line, by string) {
	if name := row(line); name != "" {
		b.names[name] = by
	}
}

func newBench(t *testing.T) *bench {
	t.Helper()
	testenv.NeedRoot(t)
	b := &bench{bin: os.Getenv("NODESEAL_BIN"), dir: testenv.Mount(t, "tmpfs", "tmpfs"), names: make(map[string]string)}
	testenv.Require(t, b.bin != "", "make deaths sets NODESEAL_BIN")
	b.disk, b.stick, b.conf = filepath.Join(b.dir, "disk"), filepath.Join(b.dir, "stick"), filepath.Join(b.dir, "storage.conf")
	must(t, errors.Join(os.Mkdir(b.disk, 0o755), os.Mkdir(b.stick, 0o755)))
	must(t, os.WriteFile(b.conf, fmt.Appendf(nil, "[storage]\ndriver = \"overlay\"\ngraphroot = %q\nrunroot = %q\n[storage.options]\nadditionalimagestores = [%q, %q]\n",
		b.dir+"/graph", b.dir+"/run", b.disk+"/slots/a", b.disk+"/slots/b"), 0o600))
	for n := 1; n <= 2; n++ {
		src := storetest.NewSource(t, bundle.Expanded)
		base := storetest.Tar(t, storetest.Dir("etc/"), storetest.File("etc/base", "the same in all releases\n"))
		own := storetest.Tar(t, storetest.Dir("opt/"), storetest.File("opt/version", fmt.Sprintf("release %d\n", n)))
		src.Add(storetest.Image{Repository: "example.com/base", Layers: [][]byte{base}})
		src.Add(storetest.Image{Repository: "example.com/app", Layers: [][]byte{base, own}})
		src.Edit(func(inv *bundle.Inventory) { inv.Release = &bundle.Release{Version: fmt.Sprintf("4.99.%d", n)} })
		b.bundles[n] = filepath.Join(b.dir, fmt.Sprintf("release%d.tar.zst", n))
		src.WriteRaw(t, b.bundles[n], src.RawInventory())
	}
	data, err := os.ReadFile(b.bundles[2])
	must(t, err)
	must(t, os.WriteFile(filepath.Join(b.stick, "release.tar.zst"), data, 0o600))
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (b *bench) slots() string { return filepath.Join(b.disk, slotsDir) }

func (b *bench) one() string { return filepath.Join(b.disk, oneDir, "store") }

// run runs a command and returns its exit code and what it printed.
func (b *bench) run(args ...string) (int, string) {
	var out bytes.Buffer
	cmd := exec.Command(b.bin, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return -1, err.Error()
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

func (b *bench) mustRun(t *testing.T, args ...string) {
	t.Helper()
	if code, out := b.run(args...); code != 0 {
		t.Fatalf("nodeseal %s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
}

// snapshot is a disk before the command that is killed.
type snapshot string

// defaultDisk is the size of a machine's disk in MiB.
const defaultDisk = 48

// makeDisk makes a disk, lets setup work on it, and keeps it.
func (b *bench) makeDisk(t *testing.T, name string, size int64, setup func()) snapshot {
	t.Helper()
	file := filepath.Join(b.dir, name+".img")
	must(t, os.WriteFile(file, nil, 0o600))
	must(t, os.Truncate(file, cmp.Or(size, defaultDisk)<<20))
	tool(t, "mkfs.ext4", "-q", "-F", file)
	b.plug(t, file)
	defer b.unplug(t)
	must(t, os.Mkdir(filepath.Dir(b.one()), 0o755))
	setup()
	return snapshot(file)
}

// boot plugs a copy of a disk in, and mounts the slots as the unit does.
func (b *bench) boot(t *testing.T, s snapshot, mount bool) {
	t.Helper()
	file := filepath.Join(b.dir, "now.img")
	tool(t, "cp", "--sparse=always", string(s), file)
	b.plug(t, file)
	if mount {
		root, err := slot.Open(b.slots(), slot.Options{})
		must(t, err)
		must(t, root.Mount(t.Context(), slot.Names()...))
	}
}

func (b *bench) plug(t *testing.T, file string) {
	t.Helper()
	tool(t, "mount", "-t", "ext4", "-o", "loop", file, b.disk)
}

// unplug ends a machine. Mounts below go first.
func (b *bench) unplug(t *testing.T) {
	t.Helper()
	for range 20 { // stacked ones, too
		for _, point := range []string{b.slots() + "/a", b.slots() + "/b", b.one()} {
			_ = unix.Unmount(point, unix.MNT_DETACH)
		}
	}
	tool(t, "umount", "-R", b.disk)
}

func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(testenv.NeedTool(t, name), args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

// die runs the command until the disk is in the state for the moment-th time, and kills it there.
// It reports whether it came to that.
func (b *bench) die(t *testing.T, want string, moment int, args ...string) bool {
	t.Helper()
	seen := 0
	_, killed, err := trace(command(b.log(t), b.bin, args...), changes(), onChange(func() bool {
		if lasting(state(b.disk)) != want {
			return false
		}
		seen++
		return seen > moment
	}))
	must(t, err)
	return killed
}

// states runs the command to its end, and returns the states on its way with how many changes begin in each.
func (b *bench) states(t *testing.T, args ...string) (order []string, count map[string]int) {
	t.Helper()
	count = make(map[string]int)
	log := b.log(t)
	exit, _, err := trace(command(log, b.bin, args...), changes(), onChange(func() bool {
		now := state(b.disk)
		for line := range strings.Lines(now) {
			b.seen(strings.TrimSpace(line), strings.Join(args[:2], " "))
		}
		now = lasting(now)
		if count[now] == 0 {
			order = append(order, now)
		}
		count[now]++
		return false
	}))
	must(t, err)
	if exit != 0 {
		said, _ := os.ReadFile(log.Name())
		t.Fatalf("nodeseal %s: exit code %d\n%s", strings.Join(args, " "), exit, said)
	}
	return order, count
}

func (b *bench) log(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(b.dir, "log"), os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// content is what slot n holds; "" if it is not there. It must be a valid store.
func (b *bench) content(t *testing.T, n slot.Name) string {
	t.Helper()
	root, err := slot.Open(b.slots(), slot.Options{})
	must(t, err)
	if !root.Exists(n) {
		return ""
	}
	s, err := root.Read(n)
	if err != nil {
		t.Errorf("slot %s is no valid store: %v", n, err)
		return "damaged"
	}
	return s.Release()
}

// sealed wants the store at path to be whole, immutable and mounted.
func (b *bench) sealed(t *testing.T, path string) {
	t.Helper()
	rep, err := form.State(t.Context(), path)
	if err != nil || !rep.Sealed() {
		t.Errorf("%s is not sealed: %+v, %v", path, rep, err)
	}
	if proven, err := form.Verify(t.Context(), path, nil); err != nil || len(proven.Findings) > 0 {
		t.Errorf("verify %s: %+v, %v", path, proven, err)
	}
}

// rot damages a content of release n in the store at path, which is mounted nowhere.
func rot(t *testing.T, path string, n int) {
	t.Helper()
	old := fmt.Appendf(nil, "release %d\n", n)
	files, err := filepath.Glob(filepath.Join(path, "overlay/*/diff/opt/version"))
	must(t, err)
	file, asImage := form.FileOf(path)
	if asImage {
		tool(t, "chattr", "-i", file)
		files = []string{file}
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		must(t, err)
		at := bytes.Index(data, old)
		if at < 0 {
			t.Fatalf("%s does not have %q", name, old)
		}
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		must(t, err)
		_, err = f.WriteAt([]byte("R"), int64(at))
		must(t, errors.Join(err, f.Close()))
	}
	if asImage {
		tool(t, "chattr", "+i", file)
	}
	if len(files) == 0 {
		t.Fatal("there is nothing to damage in " + path)
	}
	syscall.Sync()
}
