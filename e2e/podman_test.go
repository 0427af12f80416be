//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// changes is a script that does to files of the image what containers do, and
// shows that it was done.
const changes = `set -e
echo new > /data/new
echo over > /data/overwrite
echo more >> /data/append
mv /data/rename /data/renamed
rm /data/remove
chmod 600 /data/chmod
mkdir /new-directory
mv /data/dir /data/moved
ln -s new /data/link
rm -r /tmp
cat /data/new /data/overwrite /data/append /data/renamed /data/moved/file
ls /data`

const changed = "new\nover\nimage\nmore\nimage\nimage\nappend\nchmod\nlink\nmoved\nnew\noverwrite\nrenamed\n"

// testPodman runs a container from a sealed store with no network, which changes
// files of its image as it likes, and holds that the store does not change.
func (f *flow) testPodman(t *testing.T) {
	for _, format := range []string{formatDir, formatImage} {
		t.Run(format, func(t *testing.T) { f.testPodmanFrom(t, format) })
	}
}

// testPodmanFrom is testPodman with one form of a store.
func (f *flow) testPodmanFrom(t *testing.T, format string) {
	store := f.importStore(t, "--format", format)
	before := harness.ReadTree(t, store)
	podman := f.podman(t, store)
	for _, img := range f.inventory.Images {
		var found []struct {
			ID string `json:"Id"`
		}
		out := podman("image", "inspect", img.Ref)
		if err := json.Unmarshal(out, &found); err != nil || len(found) != 1 || found[0].ID != img.Config.Digest.Encoded() {
			t.Errorf("podman image inspect %s: %v, %+v, want ID %s", img.Ref, err, found, img.Config.Digest)
		}
	}
	out := podman("run", "--rm", "--pull", "never", "--network", "none", "--log-driver", "none",
		"--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", f.real[harness.ShellImage], "sh", "-c", changes)
	if string(out) != changed {
		t.Errorf("container printed\n%s\nwant\n%s", out, changed)
	}
	for _, line := range harness.Diff(before, harness.ReadTree(t, store), nil) {
		t.Errorf("after a container ran: %s", line)
	}
}

// podman runs podman where only lo is up, with its own empty graph root, and the
// store in a storage.conf that nodeseal config wrote.
func (f *flow) podman(t *testing.T, store string) func(args ...string) []byte {
	t.Helper()
	testenv.NeedTool(t, "podman")
	testenv.NeedTool(t, "runc")
	// Podman takes no runroot of more than 50 characters.
	run, err := os.MkdirTemp("", "nodeseal-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(run) })
	graph := harness.GraphRoot(t)
	nodes := harness.WriteFile(t, "storage.conf", "# the node's own\n[storage]\ndriver = \"overlay\"\nrunroot = \""+run+
		"/r\"\ngraphroot = \""+graph+"\"\n\n[storage.options]\n# more below\nadditionalimagestores = [\n]\n")
	conf := harness.MustNodeseal(t, "config", "storage.conf", "--store", store, "--from", nodes).Stdout
	for _, kept := range []string{"# the node's own", "# more below", store} {
		if !strings.Contains(string(conf), kept) {
			t.Errorf("storage.conf has no %q:\n%s", kept, conf)
		}
	}
	prefix := append([]string{"env", "CONTAINERS_STORAGE_CONF=" + harness.WriteFile(t, "storage.conf", string(conf))}, harness.LoopbackOnly(t)...)
	prefix = append(prefix, "podman", "--tmpdir", run+"/t", "--cgroup-manager", "cgroupfs", "--events-backend", "none", "--runtime", "runc")
	return func(args ...string) []byte {
		t.Helper()
		words := append(prefix[1:len(prefix):len(prefix)], args...)
		return harness.Must(t, prefix[0], words...)
	}
}
