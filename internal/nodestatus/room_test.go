package nodestatus

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/slot"
)

// TestFull: status warns where kubelet removes images, and shortly before, by the
// threshold that the node's kubelet has.
func TestFull(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, conf string // "" for no file
		used       int
		want       string
	}{
		{name: "room is left", used: 79},
		{name: "soon", used: 80, want: "is 80% full: kubelet removes images from 85% on"},
		{name: "full", used: 85, want: "is 85% full: kubelet removes images, which it does from 85% on"},
		{name: "a threshold of its own", conf: "kind: KubeletConfiguration\nimageGCHighThresholdPercent: 60\n", used: 60, want: "from 60% on"},
		{name: "as JSON", conf: `{"imageGCHighThresholdPercent": 60}`, used: 54},
		{name: "switched off", conf: "imageGCHighThresholdPercent: 100\n", used: 99},
		{name: "not said", conf: "imageGCLowThresholdPercent: 10\n", used: 85, want: "from 85% on"},
		{name: "null", conf: "imageGCHighThresholdPercent: null\n", used: 85, want: "from 85% on"},
		{name: "nonsense", conf: "imageGCHighThresholdPercent: [\n", used: 85, want: "from 85% on"},
		{name: "out of range", conf: "imageGCHighThresholdPercent: 850\n", used: 85, want: "from 85% on"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			conf := filepath.Join(dir, "kubelet.conf")
			if test.conf != "" {
				if err := os.WriteFile(conf, []byte(test.conf), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			root, err := slot.Open(dir, slot.Options{})
			if err != nil {
				t.Fatal(err)
			}
			c := &collector{out: &Status{}, opts: Options{Root: root, Path: func(string) string { return conf }}}
			c.full(test.used, c.collectFrom())
			said := ""
			for _, w := range c.out.Warnings {
				said += w.Message
			}
			if (said == "") != (test.want == "") || !strings.Contains(said, test.want) {
				t.Errorf("%q, want %q", said, test.want)
			}
		})
	}
}

// TestUsedPercent: as kubelet counts, what is reserved for root is in use.
func TestUsedPercent(t *testing.T) {
	t.Parallel()
	if got := usedPercent(&unix.Statfs_t{Blocks: 1000, Bfree: 200, Bavail: 149}); got != 86 {
		t.Errorf("%d, want 86", got)
	}
}
