package carry

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"

	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// TestLookAt: a directory that is no stick, and a stick with another label.
func TestLookAt(t *testing.T) {
	said := func(dir, labels string) string {
		var out string
		f := &filler{dir: dir, progress: func(e progress.Event) { out += e.Message }}
		f.lookAt(labels)
		return out
	}
	if got := said(t.TempDir(), labels); !strings.Contains(got, "no mount point") {
		t.Errorf("a plain directory: %q", got)
	}
	at := testenv.NeedFS(t, "ext4")
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) { return m.Mountpoint != at, false })
	if err != nil || len(mounts) != 1 {
		t.Fatalf("%v, %v", mounts, err)
	}
	byLabel := t.TempDir()
	if got := said(at, byLabel); got != "" {
		t.Errorf("no label is known: %q", got)
	}
	link := func(name, to string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(byLabel, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("DATA", mounts[0].Source)
	if got := said(at, byLabel); !strings.Contains(got, "has not the label NODESEAL") {
		t.Errorf("another label: %q", got)
	}
	link(machine.StickLabel, mounts[0].Source)
	if got := said(at, byLabel); got != "" {
		t.Errorf("the label: %q", got)
	}
}
