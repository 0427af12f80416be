//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/samplerelease"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// upgrade is what the parts of TestUpgrade share: bundles of three releases,
// which share most layers, and an image with a shell in each.
type upgrade struct {
	bundles [3]string
	deltas  [3]string // of the last two, with what is new in each
	shells  [3]string
	shared  string // is in all of them
}

// TestUpgrade is a node's life over three releases, on each file system that
// can seal: containers of the old release run on, those of the new one start,
// retire refuses and later allows, and at no moment is a configured path
// anything but a valid store.
func TestUpgrade(t *testing.T) {
	u := newUpgrade(t)
	directories, images := [3]string{formatDir, formatDir, formatDir}, [3]string{formatImage, formatImage, formatImage}
	for name, node := range map[string]struct {
		fs      string
		formats [3]string
	}{
		"ext4": {"ext4", directories}, "xfs": {"xfs", directories}, "btrfs": {"btrfs", directories},
		"ext4-image": {"ext4", images}, "xfs-image": {"xfs", images}, "btrfs-image": {"btrfs", images},
		"to-images": {"xfs", [3]string{formatDir, formatImage, formatSame}}, "from-images": {"ext4", [3]string{formatImage, formatDir, formatDir}},
	} {
		t.Run(name, func(t *testing.T) { u.threeReleases(t, node.fs, node.formats) })
	}
	for _, format := range []string{formatDir, formatImage} {
		t.Run("Kill-"+format, func(t *testing.T) { u.testKill(t, format) })
		t.Run("Sealed-"+format, func(t *testing.T) { u.testSealed(t, format) })
		t.Run("WhenSafe-"+format, func(t *testing.T) { u.testWhenSafe(t, format) })
	}
	t.Run("Repair", u.testRepair)
	t.Run("RepairImage", u.testRepairImage)
}

func newUpgrade(t *testing.T) *upgrade {
	t.Helper()
	testenv.NeedRoot(t)
	harness.Binary(t)
	testenv.NeedTool(t, "podman")
	addr := harness.Registry(t)
	refs := harness.RealImages(t, addr, samplerelease.Prefix)
	conf := harness.WriteFile(t, "registries.conf", samplerelease.RegistriesConf(addr))
	u := &upgrade{shared: refs["shell"]}
	dir := t.TempDir()
	// Three releases that share layers: each has an image of its own, on top of
	// the shell that all have.
	own := [3][]string{{"shell", "git", "sbin"}, {"shell", "git-perl", "sbin"}, {"shell", "perl", "etc-sbin"}}
	mains := [3]string{"git", "git-perl", "perl"}
	for i, names := range own {
		var list strings.Builder
		for _, name := range names {
			fmt.Fprintln(&list, refs[name])
		}
		u.bundles[i] = filepath.Join(dir, fmt.Sprintf("release-%d.tar.zst", i+1))
		u.shells[i] = refs[mains[i]]
		images := harness.WriteFile(t, "images.lst", list.String())
		harness.MustNodeseal(t, "bundle", "--images", images,
			"--registries-conf", conf, "-o", u.bundles[i], "--work", filepath.Join(dir, "work"))
		if i > 0 {
			u.deltas[i] = filepath.Join(dir, fmt.Sprintf("delta-%d.tar.zst", i+1))
			harness.MustNodeseal(t, "bundle", "--images", images, "--since", u.bundles[i-1],
				"--registries-conf", conf, "-o", u.deltas[i], "--work", filepath.Join(dir, "work"))
		}
	}
	return u
}

// threeReleases is an upgrade, three releases long, each in a form.
func (u *upgrade) threeReleases(t *testing.T, fs string, formats [3]string) {
	n := newSlotNode(t, fs)
	if got := n.slots(t); got["a"] != 0 || got["b"] != 0 {
		t.Fatalf("slots %v at the beginning", got)
	}
	n.mustPodman(t, "images")
	stop := n.watch(t)
	defer stop()
	n.must(t, "import", u.bundles[0], "--format", formats[0])
	n.start(t, "one", u.shells[0])

	if out := n.must(t, "reseal", u.bundles[1], "--format", formats[1]); !strings.Contains(out, "taken from slot a") {
		t.Errorf("reseal:\n%s", out)
	}
	n.alive(t, "one")
	n.start(t, "two", u.shells[1])
	n.alive(t, "two")

	// The old release's container keeps its slot; a third release has no room.
	if out := n.nodeseal(t, "retire", "--storage-conf", n.conf); out.Code != 5 || !strings.Contains(string(out.Stderr), "container one") {
		t.Errorf("retire: exit code %d\n%s", out.Code, out.Stderr)
	}
	if out := n.nodeseal(t, "import", u.bundles[2]); out.Code != 5 || !strings.Contains(string(out.Stderr), "retire slot a first") {
		t.Errorf("third release: exit code %d\n%s", out.Code, out.Stderr)
	}
	n.alive(t, "one")
	n.mustPodman(t, "rm", "--force", "--time", "0", "one")
	n.must(t, "retire", "--storage-conf", n.conf)
	n.alive(t, "two")

	// The third comes as what is new in it; the whole bundle then is nothing to do.
	if out := n.must(t, "reseal", u.deltas[2], "--format", formats[2]); !strings.Contains(out, "from the base, verified: "+filepath.Join(n.root, "b")) {
		t.Errorf("reseal with a delta:\n%s", out)
	}
	if out := n.must(t, "reseal", u.bundles[2]); !strings.Contains(out, "nothing to do: slot a") {
		t.Errorf("the whole bundle after the delta:\n%s", out)
	}
	n.start(t, "three", u.shells[2])
	n.alive(t, "two")
	n.alive(t, "three")
	if got := n.slots(t); got["a"] != 3 || got["b"] != 3 {
		t.Errorf("slots %v at the end", got)
	}
	for _, slot := range []string{"a", "b"} {
		harness.MustNodeseal(t, "verify", filepath.Join(n.root, slot))
	}
	if !slices.Contains(formats[:], formatDir) {
		n.sameImage(t, "a", u.bundles[2])
		n.restart(t)
	}
}

// sameImage holds that the image of a slot, with layers from the other one, is the
// one that a whole import makes.
func (n *slotNode) sameImage(t *testing.T, slot, bundle string) {
	t.Helper()
	whole := harness.StorePath(t) + ".erofs"
	harness.MustNodeseal(t, "import", bundle, "--image-out", whole, "--jobs", "1")
	if got, want := fileDigest(t, filepath.Join(n.root, slot+".erofs")), fileDigest(t, whole); got != want {
		t.Errorf("the image of slot %s is %s, a whole import makes %s", slot, got, want)
	}
}

// restart is what a restart of the machine does to mounts, with a container of each
// slot running: both are valid stores without them, and what they were with them.
func (n *slotNode) restart(t *testing.T) {
	t.Helper()
	n.must(t, "umount")
	n.mustPodman(t, "images")
	n.alive(t, "two")
	n.must(t, "mount")
	if got := n.slots(t); got["a"] != 3 || got["b"] != 3 {
		t.Errorf("slots %v after a restart", got)
	}
}

// testKill kills reseal and retire at many moments, with SIGKILL. After each the
// configured paths are valid stores, podman works, the container of the old
// release runs on, and the next run of the same command finishes.
func (u *upgrade) testKill(t *testing.T, format string) {
	n := newSlotNode(t, "xfs")
	n.must(t, "import", u.bundles[0], "--format", format)
	n.start(t, "one", u.shells[0])
	stop := n.watch(t)
	defer stop()
	retire := []string{"retire", "b", "--staged", "--storage-conf", n.conf}
	// What a whole run takes, on this machine: kills are spread over that.
	timed := func(args ...string) time.Duration {
		began := time.Now()
		n.must(t, args...)
		return time.Since(began)
	}
	reseals := timed("reseal", u.bundles[1])
	retires := timed(retire...)
	const moments = 12
	killed := 0 // of retire
	for i := range moments {
		// Whole or delta: one goes on where the other was killed.
		bundle := []string{u.bundles[1], u.deltas[1]}[i%2]
		for n.outran(t, reseals*time.Duration(i+1)/(moments+1), "reseal", bundle) {
			// Little was left to do, or a quick moment of the machine: from the beginning.
			n.must(t, retire...)
			reseals = reseals * 9 / 10
		}
		if i%4 != 3 {
			continue
		}
		n.must(t, "reseal", u.bundles[1])
		n.mustPodman(t, "run", "--rm", "--pull", "never", "--network", "none", "--log-driver", "none",
			"--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", u.shells[1], "cat", "/data/overwrite")
		for k := range 4 {
			if n.outran(t, retires*time.Duration(k+1)/5, retire...) {
				break
			}
			killed++
		}
		n.must(t, retire...)
	}
	if killed == 0 {
		t.Error("retire was never killed")
	}
	n.must(t, "mount")
	n.must(t, "clean")
	harness.MustNodeseal(t, "verify", filepath.Join(n.root, "a"))
}

// outran runs a command and kills it after a time, and reports whether it had ended
// before. Killed or not, the container of the old release runs and podman works.
func (n *slotNode) outran(t *testing.T, after time.Duration, args ...string) bool {
	t.Helper()
	p := harness.Start(t, harness.Binary(t), append(args, "--root", n.root)...)
	select {
	case <-p.Over():
	case <-time.After(after):
	}
	err := p.Kill(t)
	n.alive(t, "one")
	n.mustPodman(t, "images")
	if err != nil && !strings.Contains(err.Error(), "killed") {
		t.Fatalf("nodeseal %s: %v", strings.Join(args, " "), err)
	}
	return err == nil
}

// testWhenSafe lets retire wait for a container of the old release. One of an image
// that both releases have, which runs from the old slot too, goes on; what is kept
// for it is gone when it has ended.
func (u *upgrade) testWhenSafe(t *testing.T, format string) {
	n := newSlotNode(t, "ext4")
	n.must(t, "import", u.bundles[0], "--format", format)
	n.start(t, "one", u.shells[0])
	n.start(t, "shared", u.shared)
	n.must(t, "reseal", u.bundles[1])
	stop := n.watch(t)
	defer stop()
	n.retireWaits(t, []string{"--storage-conf", n.conf}, 3, func() {
		n.alive(t, "one")
		n.mustPodman(t, "rm", "--force", "--time", "0", "one")
	})
	n.alive(t, "shared")
	n.start(t, "two", u.shells[1])
	n.alive(t, "two")
	n.mustPodman(t, "rm", "--force", "--time", "0", "shared")
	n.must(t, "clean")
	if left, err := os.ReadDir(filepath.Join(n.root, ".work")); err != nil || len(left) > 0 {
		t.Errorf("left in the work directory: %v, %v", left, err)
	}
	if _, err := os.Lstat(filepath.Join(n.root, "a.erofs")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the image of the empty slot: %v", err)
	}
	n.must(t, "reseal", u.bundles[2])
	if got := n.slots(t); got["a"] != 3 || got["b"] != 3 {
		t.Errorf("slots %v at the end", got)
	}
}

// testRepair damages a sealed store in every way that the verification is for,
// wants all of it found, and the repaired store to be the one that it was.
func (u *upgrade) testRepair(t *testing.T) {
	n := newSlotNode(t, "ext4")
	n.must(t, "import", u.bundles[0])
	store := filepath.Join(n.root, "a")
	before := harness.ReadTree(t, store)
	harness.MustNodeseal(t, "unseal", store)
	shells, err := filepath.Glob(filepath.Join(store, "overlay/*/diff/bin/busybox"))
	if err != nil || len(shells) == 0 {
		t.Fatal(shells, err)
	}
	diff := filepath.Dir(filepath.Dir(shells[0]))
	content := harness.ReadFile(t, shells[0])
	content[len(content)/2] ^= 1
	write := func(path string, data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(shells[0], content)
	harness.Must(t, "rm", filepath.Join(diff, "data/remove"))
	harness.Must(t, "chmod", "777", filepath.Join(diff, "data/chmod"))
	write(filepath.Join(diff, "data/foreign"), []byte("foreign\n"))
	harness.MustNodeseal(t, "seal", store)

	out := harness.Nodeseal(t, "verify", store)
	if out.Code != 4 {
		t.Errorf("verify: exit code %d", out.Code)
	}
	for _, name := range []string{"bin/busybox", "data/remove", "data/chmod", "data/foreign", u.shells[0]} {
		if !strings.Contains(string(out.Stdout), name) {
			t.Errorf("verify does not name %s:\n%s", name, out.Stdout)
		}
	}
	harness.MustNodeseal(t, "verify", store, "--repair", u.bundles[0])
	for _, line := range harness.Diff(before, harness.ReadTree(t, store), nil) {
		t.Errorf("after the repair: %s", line)
	}
	if got := n.slots(t); got["a"] != 3 {
		t.Errorf("slots %v", got)
	}
	n.start(t, "one", u.shells[0])
	n.alive(t, "one")
}

// testSealed holds that nothing that people run by accident changes a store, or
// takes a slot away.
func (u *upgrade) testSealed(t *testing.T, format string) {
	n := newSlotNode(t, "xfs")
	n.must(t, "import", u.bundles[0], "--format", format)
	before := harness.ReadTree(t, n.root)
	n.start(t, "one", u.shells[0])
	n.alive(t, "one")
	for _, args := range [][]string{
		{"rmi", "--force", u.shells[0]}, {"rmi", "--all", "--force"}, {"system", "prune", "--all", "--force"}, {"image", "prune", "--all", "--force"},
	} {
		_ = n.podman(t, args...) // what it reports is podman's
	}
	names := []string{"a", "b"}
	if format == formatImage {
		names = append(names, "a.erofs", "a.erofs.sha256")
	}
	for _, name := range names {
		if out := harness.Run(t, "rm", "-rf", filepath.Join(n.root, name)); out.Code == 0 {
			t.Errorf("rm -rf of %s reports success", name)
		}
	}
	for _, line := range harness.Diff(before, harness.ReadTree(t, n.root), nil) {
		t.Errorf("after all that: %s", line)
	}
	n.start(t, "two", u.shells[0])
	n.alive(t, "two")
	harness.MustNodeseal(t, "verify", filepath.Join(n.root, "a"))
}

// testRepairImage damages the image of a slot while a container runs from it: where
// its files are, so that it mounts all the same, and where readers begin, so that it
// does not. All is found, and the repaired image is the one that it was.
func (u *upgrade) testRepairImage(t *testing.T) {
	n := newSlotNode(t, "xfs")
	n.must(t, "import", u.bundles[0], "--format", formatImage)
	store, file := filepath.Join(n.root, "a"), filepath.Join(n.root, "a.erofs")
	n.start(t, "one", u.shells[0])
	before, want := harness.ReadTree(t, store), fileDigest(t, file)
	stop := n.watch(t)
	defer stop()
	for _, place := range []float64{0.3, 0} {
		harness.Must(t, "chattr", "-i", file)
		data := harness.ReadFile(t, file)
		at := int(place*float64(len(data))) &^ 4095
		for i := range 64 << 10 {
			data[at+i] ^= 0xff
		}
		f, err := os.OpenFile(file, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteAt(data[at:at+64<<10], int64(at))
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			t.Fatal(err)
		}
		out := harness.Nodeseal(t, "verify", store)
		if out.Code != 4 || !strings.Contains(string(out.Stdout), "a.erofs: its digest is") {
			t.Errorf("verify: exit code %d\n%s", out.Code, out.Stdout)
		}
		if place == 0 {
			n.must(t, "umount")
			if out := n.nodeseal(t, "mount"); out.Code != 4 || !strings.Contains(string(out.Stderr), "the slot is an empty store") {
				t.Errorf("mount: exit code %d\n%s", out.Code, out.Stderr)
			}
			n.mustPodman(t, "images")
		}
		harness.MustNodeseal(t, "verify", store, "--repair", u.bundles[0])
		if got := fileDigest(t, file); got != want {
			t.Errorf("the repaired image is %s, want %s", got, want)
		}
	}
	for _, line := range harness.Diff(before, harness.ReadTree(t, store), nil) {
		t.Errorf("after the repair: %s", line)
	}
	if got := n.slots(t); got["a"] != 3 {
		t.Errorf("slots %v", got)
	}
	n.start(t, "two", u.shells[0])
	n.alive(t, "two")
}
