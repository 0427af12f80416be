package dir_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/filelock"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
	"golang.org/x/sys/unix"
)

// steps are all moments at which an import can be stopped by a test.
var steps = []string{"probe", "recover", "need", "extract", "record", "link", "metadata", "check", "finish", "rename"}

// reference imports src without trouble and describes the store.
func reference(t *testing.T, src store.Source) []string {
	t.Helper()
	target := filepath.Join(t.TempDir(), "reference")
	if _, err := dir.Import(t.Context(), src, target, store.ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	return storetest.DescribeTree(t, target, storetest.TreeOptions{})
}

// finish imports once more and wants the reference's store.
func finish(t *testing.T, src store.Source, target string, want []string) *dir.Result {
	t.Helper()
	if _, err := os.Lstat(target); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("a store is visible before it is whole: %v", err)
	}
	res, err := dir.Import(t.Context(), src, target, store.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if d := storetest.Diff(want, storetest.DescribeTree(t, target, storetest.TreeOptions{})); d != "" {
		t.Errorf("the store differs:\n%s", d)
	}
	if left, _ := os.ReadDir(filepath.Dir(target)); len(left) != 1 {
		t.Errorf("beside the store there is %v", left)
	}
	return res
}

func TestFailureAtEveryStep(t *testing.T) {
	testenv.NeedRoot(t)
	src := storetest.NewSource(t, bundle.Expanded)
	storetest.Images(t, src)
	want := reference(t, src)
	for _, step := range steps {
		t.Run(step, func(t *testing.T) {
			target := filepath.Join(t.TempDir(), "store")
			broken := errors.New("broken on purpose")
			calls := 0
			opts, before := store.ImportOptions{Jobs: 1, SyncEvery: 1}, func(name string) error {
				// Of the records the third fails.
				if calls++; name == step && (name != "record" || calls > 7) {
					return broken
				}
				return nil
			}
			if _, err := dir.ImportStepwise(t.Context(), src, target, opts, before); !errors.Is(err, broken) {
				t.Fatalf("error %v", err)
			}
			res := finish(t, src, target, want)
			t.Logf("%d of %d contents were taken over", res.TakenOver, res.TakenOver+res.Extracted)
		})
	}
}

// TestPowerCut makes the records those of another boot: what was not synced is
// not believed any more.
func TestPowerCut(t *testing.T) {
	testenv.NeedRoot(t)
	src := storetest.NewSource(t, bundle.Expanded)
	storetest.Images(t, src)
	want := reference(t, src)
	target := filepath.Join(t.TempDir(), "store")
	broken := errors.New("broken on purpose")
	opts, before := store.ImportOptions{Jobs: 1, SyncEvery: 1}, func(name string) error {
		if name == "check" {
			return broken
		}
		return nil
	}
	if _, err := dir.ImportStepwise(t.Context(), src, target, opts, before); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	records, err := filepath.Glob(filepath.Join(dir.PartialName(target), "records", "*"))
	if err != nil {
		t.Fatal(err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	synced := 0
	for _, path := range records {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		data = bytes.ReplaceAll(data, bytes.TrimSpace(boot), []byte("another boot"))
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(path, ".synced") {
			synced++
		}
	}
	if synced == 0 || len(records) == 0 {
		t.Fatalf("%d of %d records are synced", synced, len(records))
	}
	if res := finish(t, src, target, want); res.TakenOver != synced {
		t.Errorf("%d contents taken over, %d were synced", res.TakenOver, synced)
	}
}

// TestRecordsOutliveTheirLayers imports again after a run that was killed behind
// the rename, and after its store was removed.
func TestRecordsOutliveTheirLayers(t *testing.T) {
	testenv.NeedRoot(t)
	src := storetest.NewSource(t, bundle.Expanded)
	storetest.Images(t, src)
	want := reference(t, src)
	target := filepath.Join(t.TempDir(), "store")
	broken := errors.New("broken on purpose")
	opts, before := store.ImportOptions{}, func(name string) error {
		if name == "rename" {
			return broken
		}
		return nil
	}
	if _, err := dir.ImportStepwise(t.Context(), src, target, opts, before); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir.PartialName(target), "store")); err != nil {
		t.Fatal(err)
	}
	if res := finish(t, src, target, want); res.TakenOver != 0 {
		t.Errorf("%d contents taken over that are not there", res.TakenOver)
	}
}

// TestTornRecord wants a record that was cut, or is of other rules, not to count.
func TestTornRecord(t *testing.T) {
	testenv.NeedRoot(t)
	src := storetest.NewSource(t, bundle.Expanded)
	storetest.Images(t, src)
	want := reference(t, src)
	target := filepath.Join(t.TempDir(), "store")
	broken := errors.New("broken on purpose")
	opts, before := store.ImportOptions{}, func(name string) error {
		if name == "link" {
			return broken
		}
		return nil
	}
	if _, err := dir.ImportStepwise(t.Context(), src, target, opts, before); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	records, err := filepath.Glob(filepath.Join(dir.PartialName(target), "records", "*"))
	if err != nil || len(records) < 3 {
		t.Fatal(records, err)
	}
	for i, content := range []string{"", `{"format":"other"}`} {
		if err := os.WriteFile(records[i], []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if res := finish(t, src, target, want); res.TakenOver != len(records)-2 {
		t.Errorf("%d contents taken over of %d records", res.TakenOver, len(records))
	}
}

func TestTwoAtOnce(t *testing.T) {
	testenv.NeedRoot(t)
	src := storetest.NewSource(t, bundle.Expanded)
	storetest.Images(t, src)
	target := filepath.Join(t.TempDir(), "store")
	opts, before := store.ImportOptions{}, func(name string) error {
		if name != "extract" {
			return nil
		}
		if _, err := dir.Import(t.Context(), src, target, store.ImportOptions{}); !errors.Is(err, filelock.ErrBusy) {
			t.Errorf("a second import beside the first: %v", err)
		}
		if _, err := dir.Clean(target); !errors.Is(err, filelock.ErrBusy) {
			t.Errorf("cleaning beside an import: %v", err)
		}
		return nil
	}
	if _, err := dir.ImportStepwise(t.Context(), src, target, opts, before); err != nil {
		t.Fatal(err)
	}
	if removed, err := dir.Clean(target); removed || err != nil {
		t.Errorf("nothing to clean: %v, %v", removed, err)
	}
}

// The environment of TestKill's child.
const (
	childTarget = "NODESEAL_TEST_TARGET"
	childStep   = "NODESEAL_TEST_STEP"
	childCall   = "NODESEAL_TEST_CALL"
)

// TestKillChild is no test of its own: it is the process that TestKill kills.
func TestKillChild(t *testing.T) {
	target := os.Getenv(childTarget)
	if target == "" {
		t.SkipNow()
	}
	src := storetest.NewSource(t, bundle.Expanded)
	storetest.Images(t, src)
	call, _ := strconv.Atoi(os.Getenv(childCall))
	opts, before := store.ImportOptions{Jobs: 2, SyncEvery: 1}, func(name string) error {
		if name == os.Getenv(childStep) {
			if call--; call <= 0 {
				return unix.Kill(os.Getpid(), unix.SIGKILL)
			}
		}
		return nil
	}
	if _, err := dir.ImportStepwise(t.Context(), src, target, opts, before); err != nil {
		t.Fatal(err)
	}
}

// TestKill kills an import with SIGKILL at every step and at moments in
// between; the next run makes the store whole.
func TestKill(t *testing.T) {
	testenv.NeedRoot(t)
	src := storetest.NewSource(t, bundle.Expanded)
	storetest.Images(t, src)
	want := reference(t, src)
	run := func(t *testing.T, after time.Duration, env ...string) {
		target := filepath.Join(t.TempDir(), "store")
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKillChild$")
		cmd.Env = append(os.Environ(), append(env, childTarget+"="+target)...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if after > 0 {
			time.Sleep(after)
			_ = cmd.Process.Signal(syscall.SIGKILL)
		}
		err := cmd.Wait()
		if err == nil {
			return // it was faster
		}
		if !strings.Contains(err.Error(), "killed") {
			t.Fatal(err)
		}
		if _, err := os.Lstat(target); err == nil {
			// Killed behind the rename: what is there is whole.
			if d := storetest.Diff(want, storetest.DescribeTree(t, target, storetest.TreeOptions{})); d != "" {
				t.Errorf("the store differs:\n%s", d)
			}
			return
		}
		res := finish(t, src, target, want)
		t.Logf("%d of %d contents were taken over", res.TakenOver, res.TakenOver+res.Extracted)
	}
	for _, step := range steps {
		t.Run(step, func(t *testing.T) { run(t, 0, childStep+"="+step) })
	}
	for call := 2; call <= 4; call++ {
		t.Run(fmt.Sprintf("record %d", call), func(t *testing.T) {
			run(t, 0, childStep+"=record", childCall+"="+strconv.Itoa(call))
		})
	}
	for ms := 40; ms <= 400; ms += 40 {
		t.Run(fmt.Sprintf("%dms", ms), func(t *testing.T) { run(t, time.Duration(ms)*time.Millisecond) })
	}
}

// TestUserNamespace imports as an ordinary user, in a namespace that knows one ID.
func TestUserNamespace(t *testing.T) {
	testenv.NeedRoot(t)
	parent, err := os.MkdirTemp("", "nodeseal-userns-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(parent) })
	const id = 1000
	if err := os.Chown(parent, id, id); err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(parent, "test") // in a place that the user can reach
	if err := os.WriteFile(program, self, 0o755); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(parent, "store")
	run := func(attr *syscall.SysProcAttr) (string, error) {
		cmd := exec.CommandContext(t.Context(), program, "-test.run=^TestKillChild$")
		cmd.Env = []string{childTarget + "=" + target, "HOME=" + parent, "TMPDIR=" + parent, "PATH=" + os.Getenv("PATH")}
		cmd.SysProcAttr = attr
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	user := &syscall.Credential{Uid: id, Gid: id}
	if out, err := run(&syscall.SysProcAttr{Credential: user}); err == nil || !strings.Contains(out, store.ErrPrecondition.Error()) {
		t.Errorf("as an ordinary user: %v: %s", err, out)
	}
	out, err := run(&syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		Credential:  &syscall.Credential{NoSetGroups: true}, // root, of the namespace
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: id, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: id, Size: 1}},
	})
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if s := openStore(t, target); len(s.Images) != 5 {
		t.Errorf("%d images", len(s.Images))
	}
}
