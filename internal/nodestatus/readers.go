package nodestatus

import (
	"path/filepath"
	"slices"

	"github.com/nodeseal/nodeseal/internal/storageconf"
	"github.com/nodeseal/nodeseal/internal/visible"
)

// readers reports what CRI-O and podman take, and why one of them does not start.
func (c *collector) readers() {
	for i := range c.opts.Views {
		v := &c.opts.Views[i]
		r := Reader{
			Program: v.Program, Files: slices.Concat([]string{}, v.Files),
			Stores: slices.Concat([]string{}, v.Storage.Stores), GraphRoot: v.Storage.GraphRoot,
		}
		if v.Err != nil {
			r.Error = v.Err.Error()
			c.problem(v.ErrAt, "%v: %s", v.Err, say(v, "does not start", "do not start"))
		}
		if d := v.Storage.Driver; d != "" && d != "overlay" && d != "overlay2" {
			c.problem(v.Main(), "the storage driver is %s: %s no image of the slots, which are for overlay", d, say(v, "sees", "see"))
		}
		c.out.Readers = append(c.out.Readers, r)
	}
	if len(c.opts.Views) > 0 {
		v := &c.opts.Views[0]
		c.out.StorageConf, c.out.Stores, c.out.GraphRoot = v.Main(), v.Storage.Stores, v.Storage.GraphRoot
	}
}

// say puts a verb after the names of a view's programs: one for one, many for both.
func say(v *storageconf.View, one, many string) string {
	if v.Program == storageconf.Podman || v.Program == storageconf.CRIO {
		return v.Program + " " + one
	}
	return v.Program + " " + many
}

// path returns where a path of a view is on this machine.
func (c *collector) path(p string) string {
	if c.opts.Path == nil {
		return p
	}
	return c.opts.Path(p)
}

// stores returns the additional stores of a view, on this machine.
func (c *collector) stores(v *storageconf.View) []string {
	out := make([]string, len(v.Storage.Stores))
	for i, s := range v.Storage.Stores {
		out[i] = c.path(s)
	}
	return out
}

// blind returns the views that do not name the store at path.
func (c *collector) blind(path string) (views []*storageconf.View) {
	for i := range c.opts.Views {
		v := &c.opts.Views[i]
		if !slices.ContainsFunc(c.stores(v), func(s string) bool { return filepath.Clean(s) == path }) {
			views = append(views, v)
		}
	}
	return views
}

// unnamed reports the programs that do not find a slot with images.
func (c *collector) unnamed(out *Slot) {
	blind := c.blind(out.Path)
	if len(blind) == len(c.opts.Views) {
		for _, v := range blind {
			c.problem(out.Path, "storage.conf does not name it: %s none of its %d images; nodeseal config storage.conf --store %s prints one that does%s",
				say(v, "sees", "see"), out.Images, visible.ShellWord(out.Path), decides(v))
		}
		return
	}
	for _, v := range blind {
		c.problem(out.Path, "%s none of its %d images%s", say(v, "sees", "see"), out.Images, decides(v))
	}
}

// decides names the file that sets the stores, if that is not the first that is read.
func decides(v *storageconf.View) string {
	if v.StoresFrom == "" || v.StoresFrom == v.Main() {
		return ""
	}
	return ": " + v.StoresFrom + " sets other additional stores, and counts last"
}
