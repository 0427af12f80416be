package manifest

import (
	"slices"
	"strings"
	"testing"
)

// TestOperatingSystem: on no release does the machine-config operator ask for an
// operating system that nothing on the node answers, unless the README and the warning
// say so.
func TestOperatingSystem(t *testing.T) {
	t.Parallel()
	const set, first, all = "50-pinnedimageset-worker.yaml", "the first boot of a new or replaced node", "upgrades and first boots"
	for _, test := range []struct {
		version    string
		originals  bool
		set        bool
		lack, page string
	}{
		{"4.16.8", true, false, "", "`nodeseal serve` on the node has them"},
		{"4.18", true, false, "", "`nodeseal serve` on the node has them"},
		{"4.19", true, false, "", "`nodeseal serve` on the node has them"},
		{"4.20.1", true, false, "", "`nodeseal serve` on the node has them"},
		{"4.22.0", true, false, "", "`nodeseal serve` on the node has them"},
		{"4.23", true, false, "", "from the slot"},
		{"5.0", true, false, "", "from the slot"},
		{"4.16", false, false, all, "NOT without a registry"},
		{"4.18.40", false, false, all, "NOT without a registry"},
		{"4.19", false, false, "or give the patch level: from 4.19.12", "NOT without a registry"},
		{"4.19.11", false, false, all, "NOT without a registry"},
		{"4.19.12", false, true, first, "NOT without a registry"},
		{"4.20", false, true, first, "NOT without a registry"},
		{"4.22.7", false, true, first, "NOT without a registry"},
		{"4.23.0", false, false, "", "from the slot"},
		{"5.0", false, false, "", "from the slot"},
	} {
		v := version(t, test.version)
		os := OperatingSystems{PinnedImages: PinnedImages{Refs: images(1)}, Originals: test.originals}
		o := Options{Pools: []string{"worker"}, Version: v, Settings: settings(t), OS: os}
		if os.NeedsPinned(v) {
			o.Pinned = os.PinnedImages
		}
		lack := os.Lack(v, len(o.Pinned.Refs) > 0)
		if (lack == "") != (test.lack == "") || !strings.Contains(lack, test.lack) {
			t.Errorf("%s, originals %v: %q, want %q", test.version, test.originals, lack, test.lack)
		}
		files, err := All(o)
		if err != nil {
			t.Fatalf("%s: pins beside the set: %v", test.version, err)
		}
		if has := slices.ContainsFunc(files, func(f File) bool { return f.Name == set }); has != test.set {
			t.Errorf("%s, originals %v: a PinnedImageSet: %v", test.version, test.originals, has)
		}
		if !strings.Contains(string(files[0].Content), test.page) {
			t.Errorf("%s, originals %v: the README does not say %q", test.version, test.originals, test.page)
		}
	}
}
