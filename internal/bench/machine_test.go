//go:build bench

package bench

import (
	"archive/tar"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/testenv"
	"github.com/nodeseal/nodeseal/internal/testregistry"
)

// item is something of this machine that goes into a layer.
type item struct {
	name  string
	kib   int
	paths func() ([]string, error)
}

// packages are Debian's that are installed.
type packages struct {
	base, python, tools []string
	others              []item
}

func listPackages(t testing.TB) packages {
	t.Helper()
	query := testenv.NeedTool(t, "dpkg-query")
	out, err := exec.Command(query, "-W", "-f", "${Priority} ${Installed-Size} ${Package}\n").Output()
	check(t, err)
	var p packages
	for line := range strings.Lines(string(out)) {
		var priority, name string
		var kib int
		if n, _ := fmt.Sscan(line, &priority, &kib, &name); n != 3 {
			continue
		}
		switch {
		case priority == "required" || priority == "important":
			p.base = append(p.base, name)
		case strings.HasPrefix(name, "python3"), strings.HasPrefix(name, "libpython3"):
			p.python = append(p.python, name)
		case strings.HasPrefix(name, "perl"), strings.HasPrefix(name, "git"), strings.HasPrefix(name, "libperl"):
			p.tools = append(p.tools, name)
		default:
			p.others = append(p.others, item{name, kib, inPackages(name)})
		}
	}
	testenv.Require(t, len(p.base) > 20, "the benchmark needs a Debian")
	return p
}

// inPackages lists the files of Debian packages.
func inPackages(names ...string) func() ([]string, error) {
	return func() ([]string, error) {
		list, err := exec.Command("dpkg-query", append([]string{"-L"}, names...)...).Output()
		return strings.Split(string(list), "\n"), err
	}
}

// inTree lists what is in a directory.
func inTree(root string) func() ([]string, error) {
	return func() (paths []string, err error) {
		err = filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
			paths = append(paths, path)
			return err
		})
		return paths, err
	}
}

// own returns the layer of some items.
func (m *maker) own(name string, items ...item) testregistry.Layer {
	return m.layer(name, func() (testregistry.Layer, error) {
		var all []string
		for _, it := range items {
			paths, err := it.paths()
			if err != nil {
				return testregistry.Layer{}, err
			}
			all = append(all, paths...)
		}
		all = realPaths(all)
		return m.content.AddTar(func(w *tar.Writer) error { return testregistry.AddFiles(w, all) })
	})
}

// realPaths returns each file once and by the path without links on the way:
// packages share directories, and still say /bin for /usr/bin.
func realPaths(paths []string) []string {
	var found []string
	for _, path := range paths {
		if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil && path != "" {
			found = append(found, filepath.Join(dir, filepath.Base(path)))
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// shared returns the layer that is below all images, and those that may be above it.
func (m *maker) shared(p packages) (bottom testregistry.Layer, second []testregistry.Layer) {
	layer := func(name string, packages []string) testregistry.Layer {
		return m.own(name, item{paths: inPackages(packages...)})
	}
	return layer("base", p.base), []testregistry.Layer{layer("python", p.python), layer("tools", p.tools)}
}

// machine returns images of all that this machine has: every Debian package, the
// Go tree and Go's module cache, spread over layers of like size.
func machine(t testing.TB, images int) *corpus {
	t.Helper()
	m := newMaker(t)
	p := listPackages(t)
	bottom, second := m.shared(p)
	items := p.others
	trees := []string{runtime.GOROOT()}
	out, err := exec.Command(testenv.NeedTool(t, "go"), "env", "GOMODCACHE").Output()
	check(t, err)
	for _, pattern := range []string{"*", "github.com/*"} {
		found, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), pattern))
		check(t, err)
		trees = append(trees, slices.DeleteFunc(found, func(path string) bool {
			return filepath.Base(path) == "cache" || filepath.Base(path) == "github.com"
		})...)
	}
	for _, tree := range trees {
		items = append(items, item{tree, kibOf(t, tree), inTree(tree)})
	}
	for i, own := range spread(items, images) {
		name := fmt.Sprintf("machine-%d", i)
		layer := m.own(name, own...)
		if i%3 == 0 {
			m.image(name, bottom, layer)
		} else {
			m.image(name, bottom, second[i%3-1], layer)
		}
	}
	return m.corpus
}

// spread puts the largest first into whatever layer has least.
func spread(items []item, layers int) [][]item {
	slices.SortStableFunc(items, func(a, b item) int { return cmp.Compare(b.kib, a.kib) })
	out, sizes := make([][]item, layers), make([]int, layers)
	for _, it := range items {
		least := slices.Index(sizes, slices.Min(sizes))
		out[least] = append(out[least], it)
		sizes[least] += it.kib
	}
	return out
}

func kibOf(t testing.TB, tree string) int {
	t.Helper()
	var bytes int64
	check(t, filepath.WalkDir(tree, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		bytes += info.Size()
		return err
	}))
	return int(bytes >> 10)
}
