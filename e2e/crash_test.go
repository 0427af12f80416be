//go:build e2e

package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/samplerelease"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// kills is how often an import is killed on each file system, cuts how often the
// power fails; NODESEAL_CRASH multiplies both.
const (
	kills = 50
	cuts  = 9
)

// crash is a bundle that a command makes a store of, in one form; older is a bundle
// of few of its images.
type crash struct {
	bundle, older string
	form          crashForm
}

// crashForm is a store that is made, in a form and at a place below a directory that
// holds nothing else.
type crashForm interface {
	// prepare makes in dir what has to be there before the command runs.
	prepare(t *testing.T, dir string)
	// args are the command that makes the store.
	args(dir, bundle string) []string
	// seen are what shows that an import has come to one of its phases.
	seen() []func(dir string) bool
	// phase names how far an import came, by what it left in dir; phases are those
	// that kills must hit.
	phase(dir string) string
	phases() []string
	// visible reports whether there is a store in dir; it has to be whole then.
	visible(t *testing.T, dir string) bool
	// remove wants the store in dir as import leaves it in the end, and takes it
	// away: what is left in dir does not belong there.
	remove(t *testing.T, dir string)
}

// newCrash makes the bundle, and with want learns what an import without trouble
// makes of it.
func newCrash(t *testing.T, want func(t *testing.T, bundle string) crashForm) *crash {
	t.Helper()
	testenv.NeedRoot(t)
	release, err := samplerelease.Build(samplerelease.Options{})
	if err != nil {
		t.Fatal(err)
	}
	addr, stop, err := release.Serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}()
	dir := t.TempDir()
	c := &crash{bundle: filepath.Join(dir, "release.tar.zst"), older: filepath.Join(dir, "older.tar.zst")}
	images := strings.SplitAfter(release.ImagesList(), "\n")
	for path, list := range map[string][]string{c.bundle: images, c.older: images[len(images)-6:]} {
		harness.MustNodeseal(t, "bundle", "--quiet", "-o", path, "--work", filepath.Join(dir, "work"),
			"--images", harness.WriteFile(t, "images.lst", strings.Join(list, "")),
			"--registries-conf", harness.WriteFile(t, "registries.conf", samplerelease.RegistriesConf(addr)))
	}
	c.form = want(t, c.bundle)
	return c
}

// forms are the forms in which stores are killed.
func forms() map[string]func(*testing.T, string) crashForm {
	return map[string]func(*testing.T, string) crashForm{formatDir: wantDir, formatImage: wantImage}
}

// moment is when an import is killed: after something was seen in the directory
// that holds the store, and some time more.
type moment struct {
	seen  func(dir string) bool
	delay time.Duration
}

// moments spreads count moments over what can be seen of an import.
func (c *crash) moments(t *testing.T, count int) []moment {
	t.Helper()
	if text := os.Getenv("NODESEAL_CRASH"); text != "" {
		times, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("NODESEAL_CRASH: %v", err)
		}
		count *= times
	}
	seen := c.form.seen()
	// At most 50 ms later: most phases are over by then.
	step := 50 * time.Millisecond / time.Duration((count-1)/len(seen)+1)
	var all []moment
	for i := range count {
		all = append(all, moment{seen[i%len(seen)], time.Duration(i/len(seen)) * step})
	}
	return all
}

// start is seen from the start of the process.
func start(string) bool { return true }

// there sees a file of dir, by a pattern.
func there(pattern string) func(dir string) bool {
	return func(dir string) bool {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		return err == nil && len(found) > 0
	}
}

// await returns when the moment has come, or the channel is closed. It looks without
// a pause: some phases are over in that time.
func (m moment) await(dir string, over <-chan struct{}) {
	for !m.seen(dir) {
		select {
		case <-over:
			return
		default:
		}
	}
	select {
	case <-over:
	case <-time.After(m.delay):
	}
}

// dirForm is a directory with a tree.
type dirForm struct{ want harness.Tree }

func wantDir(t *testing.T, bundle string) crashForm {
	t.Helper()
	target := harness.StorePath(t)
	harness.MustNodeseal(t, "import", "--quiet", "--no-seal", "--store", target, bundle)
	return dirForm{harness.ReadTree(t, target)}
}

func (dirForm) prepare(*testing.T, string) {}

func (dirForm) args(dir, bundle string) []string {
	return []string{"import", "--quiet", "--store", filepath.Join(dir, "store"), bundle, "--no-mount"}
}

func (dirForm) seen() []func(string) bool {
	return []func(string) bool{
		start, there(".store.partial"), there(".store.partial/store/overlay"), there(".store.partial/records/*"),
		there(".store.partial/store/nodeseal"), there(".store.partial/check"), there("store"),
	}
}

func (dirForm) phases() []string {
	return []string{"plan", "begin", "extract", "metadata", "check", "seal"}
}

func (dirForm) phase(dir string) string {
	for _, p := range []struct{ name, file string }{
		{"seal", "store"}, {"check", ".store.partial/check"}, {"metadata", ".store.partial/store/nodeseal"},
		{"extract", ".store.partial/store/overlay"}, {"begin", ".store.partial"},
	} {
		if there(p.file)(dir) {
			return p.name
		}
	}
	return "plan"
}

func (f dirForm) visible(t *testing.T, dir string) bool {
	t.Helper()
	target := filepath.Join(dir, "store")
	if _, err := os.Lstat(target); errors.Is(err, os.ErrNotExist) {
		return false
	}
	if diff := harness.Diff(f.want, harness.ReadTree(t, target), nil); len(diff) > 0 {
		t.Fatalf("a store is visible that is not whole: %q", diff)
	}
	return true
}

func (f dirForm) remove(t *testing.T, dir string) {
	t.Helper()
	target := filepath.Join(dir, "store")
	harness.MustNodeseal(t, "unseal", "--quiet", target)
	if err := os.RemoveAll(target); err != nil {
		t.Fatal(err)
	}
}

// start starts the command.
func (c *crash) start(t *testing.T, dir string) *harness.Process {
	t.Helper()
	return harness.Start(t, harness.Binary(t), c.args(dir)...)
}

func (c *crash) args(dir string) []string { return c.form.args(dir, c.bundle) }

// finish runs the command once more and wants the whole store and nothing beside it, then
// takes it away.
func (c *crash) finish(t *testing.T, dir string) {
	t.Helper()
	harness.MustNodeseal(t, c.args(dir)...)
	if !c.form.visible(t, dir) {
		t.Fatal("there is no store")
	}
	c.form.remove(t, dir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "lost+found" {
			t.Errorf("beside the store there is %s", e.Name())
		}
	}
}

// TestCrashKill kills imports with SIGKILL at fifty moments on each file system.
// Most runs go on from what the killed one before left; every fifth is let go.
func TestCrashKill(t *testing.T) {
	for format, want := range forms() {
		t.Run(format, func(t *testing.T) {
			c := newCrash(t, want)
			for _, fs := range []string{"ext4", "xfs", "btrfs"} {
				t.Run(fs, func(t *testing.T) { c.testKill(t, testenv.NeedFS(t, fs)) })
			}
		})
	}
}

func (c *crash) testKill(t *testing.T, dir string) {
	hit := make(map[string]int)
	for i, m := range c.moments(t, kills) {
		hit[c.kill(t, dir, m)]++
		if c.form.visible(t, dir) || i%5 == 4 {
			c.finish(t, dir)
		}
	}
	c.finish(t, dir)
	t.Logf("%d kills in these phases: %v", kills, hit)
	// What a killed run leaves hides the shortest phases from what looks at it: those
	// are hit from nothing.
	seen := c.form.seen()
	more := 0
	for ; more < rounds*len(seen) && len(missing(c.form.phases(), hit)) > 0; more++ {
		hit[c.kill(t, dir, moment{seen: seen[more%len(seen)]})]++
		c.finish(t, dir)
	}
	if never := missing(c.form.phases(), hit); len(never) > 0 {
		t.Errorf("no import was killed in the phases %v", never)
	}
	t.Logf("%d kills more: %v", more, hit)
}

// rounds is how often each sight of an import is tried again for a phase that no
// kill has hit.
const rounds = 5

// kill kills an import at a moment and returns the phase that it hit.
func (c *crash) kill(t *testing.T, dir string, m moment) string {
	t.Helper()
	p := c.start(t, dir)
	m.await(dir, p.Over())
	_ = p.Kill(t) // it may have ended
	return c.form.phase(dir)
}

// missing are the phases that no kill has hit.
func missing(phases []string, hit map[string]int) []string {
	return slices.DeleteFunc(slices.Clone(phases), func(p string) bool { return hit[p] > 0 })
}
