package check

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.podman.io/storage/types"

	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// TestCompleteStorageConf: the library takes what nodeconfig.Complete makes of files of
// which it refuses some, with the directories and the store that the file says.
func TestCompleteStorageConf(t *testing.T) {
	testenv.NeedRoot(t)
	dir := t.TempDir()
	conf := filepath.Join(dir, "storage.conf")
	t.Setenv("CONTAINERS_STORAGE_CONF", conf)
	for name, text := range map[string]string{
		"nothing": "", "options": "[storage.options]\nadditionalimagestores = [\"/x\"]\n",
		"header": "# mine\n[storage]\n# driver = \"vfs\"\n", "options before": "[storage.options]\nsize = \"\"\n[storage]\ngraphroot = \"/g\"\n",
		"dotted": "storage.options.size = \"\"\n", "other tables": "[x]\na = 1\n", "CRLF": "[storage]\r\nrunroot = \"/r\"\r\n", "no line end": "[storage]",
	} {
		out, err := nodeconfig.Complete([]byte(text))
		if err == nil {
			out, err = nodeconfig.StorageConf(out, []string{"/s"})
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if again, err := nodeconfig.Complete(out); err != nil || string(again) != string(out) {
			t.Errorf("%s: a second time: %v\n%s", name, err, again)
		}
		if err := os.WriteFile(conf, out, 0o600); err != nil {
			t.Fatal(err)
		}
		var s nodeconfig.Storage
		if _, err := s.Apply(out); err != nil || len(s.Unset()) > 0 || s.Driver != "overlay" {
			t.Errorf("%s: %v, %+v", name, err, s)
		}
		opts, err := types.LoadStoreOptions(types.LoadOptions{})
		if err != nil {
			t.Errorf("%s: the library refuses it: %v\n%s", name, err, out)
			continue
		}
		if opts.RunRoot != s.RunRoot || opts.GraphRoot != s.GraphRoot || opts.GraphDriverName != "overlay" || !slices.Contains(opts.GraphDriverOptions, "imagestore=/s") {
			t.Errorf("%s: the library takes %+v of\n%s", name, opts, out)
		}
		for line := range strings.Lines(text) {
			if line = strings.TrimRight(line, "]\r\n"); !strings.Contains(string(out), line) {
				t.Errorf("%s: %q is gone:\n%s", name, line, out)
			}
		}
	}
	if _, err := nodeconfig.Complete([]byte("storage = {}\n")); err == nil {
		t.Error("an inline table was completed")
	}
}
