package nodeconfig

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/testenv"
)

// TestPodmanReads: podman finds the stores in what was written, in the file that
// nodes have with only the folders of podman's own moved away.
func TestPodmanReads(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	podman := testenv.NeedTool(t, "podman")
	dir := t.TempDir()
	mco, err := os.ReadFile("testdata/storage.conf-mco")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("/run/containers/storage", dir+"/run", "/var/lib/containers/storage", dir+"/primary").Replace(string(mco))
	stores := []string{dir + "/stores/a", dir + `/stores/with "quotes" and spaces`}
	for _, store := range stores {
		emptyStore(t, store)
	}
	out, err := StorageConf([]byte(text), stores)
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "storage.conf")
	if err := os.WriteFile(conf, out, 0o600); err != nil {
		t.Fatal(err)
	}
	info := func() (string, error) {
		cmd := exec.CommandContext(t.Context(), podman, "info", "--format", "{{json .Store.GraphOptions}}")
		cmd.Env = append(os.Environ(), "CONTAINERS_STORAGE_CONF="+conf)
		answer, err := cmd.CombinedOutput()
		return string(answer), err
	}
	answer, err := info()
	if err != nil {
		t.Fatalf("podman info: %v\n%s", err, answer)
	}
	// It shows only the last of the stores, but stops where it misses any.
	last, err := json.Marshal(stores[len(stores)-1])
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(answer, string(last)) {
		t.Errorf("podman info says %s, which lacks %s", answer, last)
	}
	for _, store := range stores {
		if err := os.Rename(store, store+".away"); err != nil {
			t.Fatal(err)
		}
		if answer, err := info(); err == nil {
			t.Errorf("podman does not miss %s, so it never looked: %s", store, answer)
		}
		if err := os.RemoveAll(store); err != nil { // it may have begun one
			t.Fatal(err)
		}
		if err := os.Rename(store+".away", store); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPodmanStarts: podman starts with what Complete makes of a file with a store only, as
// config prints it on a machine without storage.conf, and not without that.
func TestPodmanStarts(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	podman := testenv.NeedTool(t, "podman")
	dir := t.TempDir()
	emptyStore(t, dir+"/store")
	named, err := StorageConf(nil, []string{dir + "/store"})
	if err != nil {
		t.Fatal(err)
	}
	complete, err := Complete(named)
	if err != nil {
		t.Fatal(err)
	}
	info := func(text string) (string, error) {
		conf := filepath.Join(dir, "storage.conf")
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), podman, "info", "--format", "{{.Store.GraphRoot}} {{.Store.RunRoot}} {{.Store.GraphOptions}}")
		cmd.Env = append(os.Environ(), "CONTAINERS_STORAGE_CONF="+conf)
		answer, err := cmd.CombinedOutput()
		return string(answer), err
	}
	own := strings.NewReplacer(defaultRunRoot, dir+"/run", defaultGraphRoot, dir+"/primary")
	answer, err := info(own.Replace(string(complete)))
	if err != nil || !strings.Contains(answer, dir+"/primary "+dir+"/run ") || !strings.Contains(answer, dir+"/store") {
		t.Errorf("podman does not take what is complete: %v\n%s", err, answer)
	}
	if answer, err := info(string(named)); err == nil && !strings.Contains(answer, defaultRunRoot) {
		t.Errorf("podman takes a file without runroot, from elsewhere: %s", answer)
	} else if err != nil && !strings.Contains(answer, "runroot must be set") {
		t.Errorf("podman refuses a file without runroot for another reason: %v\n%s", err, answer)
	}
}

// emptyStore makes the smallest store that podman opens.
func emptyStore(t *testing.T, dir string) {
	t.Helper()
	for name, content := range map[string]string{
		"overlay-images/images.json": "[]", "overlay-images/images.lock": strings.Repeat("0", 64),
		"overlay-layers/layers.json": "[]", "overlay-layers/layers.lock": strings.Repeat("0", 64),
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "overlay", "l"), 0o755); err != nil {
		t.Fatal(err)
	}
}
