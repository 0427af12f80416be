package nodestatus

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/slot"
)

// TestMountedAtBoot: a store's image that nothing mounts again is said, whatever its mount
// unit is called.
func TestMountedAtBoot(t *testing.T) {
	t.Parallel()
	const file = "run-nodeseal\\x2dimages.mount"
	for name, test := range map[string]struct {
		files             []string
		fstab             string
		problems, warning int
	}{
		"an enabled unit":            {files: []string{"etc/systemd/system/" + file, "etc/systemd/system/multi-user.target.wants/" + file}},
		"one of the vendor":          {files: []string{"usr/lib/systemd/system/" + file, "usr/lib/systemd/system/local-fs.target.requires/" + file}},
		"a unit that is not enabled": {files: []string{"etc/systemd/system/" + file}, problems: 1},
		"fstab":                      {fstab: "# a comment\n\n/images.erofs /run/nodeseal-images erofs ro,loop 0 0\n"},
		"fstab, in a comment":        {fstab: "# /images.erofs /run/nodeseal-images erofs\n", warning: 1},
		"by hand":                    {warning: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for _, f := range test.files {
				write(t, filepath.Join(dir, f), "")
			}
			if test.fstab != "" {
				write(t, filepath.Join(dir, "etc/fstab"), test.fstab)
			}
			c := &collector{out: &Status{}, opts: Options{Path: func(p string) string { return filepath.Join(dir, p) }}}
			c.mountedAtBoot("/run/nodeseal-images")
			if len(c.out.Problems) != test.problems || len(c.out.Warnings) != test.warning {
				t.Errorf("problems %v, warnings %v", c.out.Problems, c.out.Warnings)
			}
			if test.problems > 0 && !strings.Contains(c.out.Problems[0].Message, "systemctl enable 'run-nodeseal\\x2dimages.mount'") {
				t.Errorf("problem: %s", c.out.Problems[0].Message)
			}
		})
	}
}

// TestSlotless: a node has other stores than slots only if no slot is there or named, also by
// another root.
func TestSlotless(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, d := range []string{"elsewhere/a", "elsewhere/b", "baked", "single/a"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		root   string
		stores []string
		want   bool
	}{
		"a store":                          {stores: []string{"baked"}, want: true},
		"one that is called a":             {stores: []string{"single/a"}, want: true},
		"no store":                         {},
		"slots are there":                  {root: "elsewhere", stores: []string{"baked"}},
		"a slot of the root is named":      {stores: []string{"root/a", "baked"}},
		"slots of another root are named":  {stores: []string{"elsewhere/b", "baked"}},
		"the same, with a slash at an end": {stores: []string{"elsewhere/b/"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.root == "" {
				test.root = "root"
			}
			root, err := slot.Open(filepath.Join(dir, test.root), slot.Options{})
			if err != nil {
				t.Fatal(err)
			}
			c := &collector{out: &Status{}, opts: Options{Root: root}}
			for _, s := range test.stores {
				c.opts.Node.Stores = append(c.opts.Node.Stores, dir+"/"+s)
			}
			if got := c.slotless(); got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
