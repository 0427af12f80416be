package nodeconfig

import (
	"errors"
	"os"
	"strings"
	"testing"
)

const store = "/var/lib/shared/nodeseal/a"

func TestStorageConf(t *testing.T) {
	t.Parallel()
	const table = "[storage.options]\n"
	tests := []struct {
		name, from, want string
	}{
		{"empty file", "", "[storage.options]\nadditionalimagestores = [\"/s\"]\n"},
		{"no table", "[storage]\ndriver = \"overlay\"", "[storage]\ndriver = \"overlay\"\n\n[storage.options]\nadditionalimagestores = [\"/s\"]\n"},
		{"only a table below", "[storage.options.overlay]\nsize = \"\"\n",
			"[storage.options.overlay]\nsize = \"\"\n\n[storage.options]\nadditionalimagestores = [\"/s\"]\n"},
		{"no key", "[storage.options] # x\nsize = \"\"\n", "[storage.options] # x\nadditionalimagestores = [\"/s\"]\nsize = \"\"\n"},
		{"header at the end", "[storage.options]", "[storage.options]\nadditionalimagestores = [\"/s\"]\n"},
		{"spaced and quoted header", "[ storage . \"options\" ]\n", "[ storage . \"options\" ]\nadditionalimagestores = [\"/s\"]\n"},
		{"commented out", table + "# Must be comma separated list.\n# additionalimagestores = []\nsize = \"\"\n",
			table + "# Must be comma separated list.\nadditionalimagestores = [\"/s\"]\n# additionalimagestores = []\nsize = \"\"\n"},
		{"commented out in another table", table + "[x]\n# additionalimagestores = []\n",
			table + "additionalimagestores = [\"/s\"]\n[x]\n# additionalimagestores = []\n"},
		{"only talked about", table + "# additionalimagestores = a list\n", table + "additionalimagestores = [\"/s\"]\n# additionalimagestores = a list\n"},
		{"field report", table + "additionalimagestores = [\"/home/core/images\",]\n",
			table + "additionalimagestores = [\"/home/core/images\", \"/s\",]\n"},
		{"empty list", table + "additionalimagestores=[]\n", table + "additionalimagestores=[\"/s\"]\n"},
		{"spaced empty list", table + "additionalimagestores = [ ] # none\n", table + "additionalimagestores = [ \"/s\" ] # none\n"},
		{"one line", table + "  additionalimagestores\t=\t[ \"/a\" , '/b' ] # two\n",
			table + "  additionalimagestores\t=\t[ \"/a\" , '/b', \"/s\" ] # two\n"},
		{"present", table + "additionalimagestores = ['/s']\n", table + "additionalimagestores = ['/s']\n"},
		{"empty over lines", table + "  additionalimagestores = [\n  ]\n", table + "  additionalimagestores = [\n    \"/s\",\n  ]\n"},
		{"comment only", table + "additionalimagestores = [ # none\n\t# yet ]\n]\n", table + "additionalimagestores = [ # none\n\t# yet ]\n  \"/s\",\n]\n"},
		{"lines with comments", table + "additionalimagestores = [\n\t\"/a\", # first, ]\n\t# between\n\t\"/b\" # last\n\t# end\n]\n",
			table + "additionalimagestores = [\n\t\"/a\", # first, ]\n\t# between\n\t\"/b\", # last\n\t# end\n\t\"/s\"\n]\n"},
		{"lines with commas", table + "additionalimagestores = [\n  \"/a\",\n  \"/b\" , # last\n]\n",
			table + "additionalimagestores = [\n  \"/a\",\n  \"/b\" , # last\n  \"/s\",\n]\n"},
		{"bracket behind the last", table + "additionalimagestores = [\"/a\",\n    \"/b\"]\n",
			table + "additionalimagestores = [\"/a\",\n    \"/b\",\n    \"/s\"]\n"},
		{"bracket behind a comma", table + "additionalimagestores = [\n \"/a\",]\n", table + "additionalimagestores = [\n \"/a\",\n \"/s\",]\n"},
		{"first on the line of the bracket", table + "additionalimagestores = [\"/a\"\n]\n", table + "additionalimagestores = [\"/a\",\n  \"/s\"\n]\n"},
		{"append table", table + "additionalimagestores = [\"/a\", {append = true}]\n",
			table + "additionalimagestores = [\"/a\", {append = true}, \"/s\"]\n"},
		{"empty element table", table + "additionalimagestores = [ { } ]\n", table + "additionalimagestores = [ { }, \"/s\" ]\n"},
		{"CRLF", "[storage.options]\r\nadditionalimagestores = [\r\n  \"/a\"\r\n]\r\n",
			"[storage.options]\r\nadditionalimagestores = [\r\n  \"/a\",\r\n  \"/s\"\r\n]\r\n"},
		{"CRLF without table", "[storage]\r\n", "[storage]\r\n\r\n[storage.options]\r\nadditionalimagestores = [\"/s\"]\r\n"},
		{"dotted key", "[storage]\noptions.additionalimagestores = []\n", "[storage]\noptions.additionalimagestores = [\"/s\"]\n"},
		{"dotted sibling", "[storage]\noptions . size = \"\" # x\nrunroot = \"\"\n",
			"[storage]\noptions . size = \"\" # x\noptions . additionalimagestores = [\"/s\"]\nrunroot = \"\"\n"},
		{"dotted from the root", "storage.options.overlay.size = \"\"", "storage.options.overlay.size = \"\"\nstorage.options.additionalimagestores = [\"/s\"]\n"},
		{"inline options", "[storage]\noptions = { size = \"\" }\n", "[storage]\noptions = { size = \"\", additionalimagestores = [\"/s\"] }\n"},
		{"inline with the key", "storage = {options = {additionalimagestores = [\"/a\"]}}\n", "storage = {options = {additionalimagestores = [\"/a\", \"/s\"]}}\n"},
		{"inline storage", "storage = {}\n", "storage = { options.additionalimagestores = [\"/s\"] }\n"},
		{"inline dotted", "storage = { options.size = \"\" }\n", "storage = { options.size = \"\", options.additionalimagestores = [\"/s\"] }\n"},
		{"other case", "[Storage.Options]\nAdditionalImageStores = [\"/a\"]\n", "[Storage.Options]\nAdditionalImageStores = [\"/a\", \"/s\"]\n"},
		{"text that looks like it", "x = '''\n[storage.options]\nadditionalimagestores = []\n'''\n",
			"x = '''\n[storage.options]\nadditionalimagestores = []\n'''\n\n[storage.options]\nadditionalimagestores = [\"/s\"]\n"},
		{"array of tables before", "[[x]]\nstorage.options.additionalimagestores = []\n[storage]\n",
			"[[x]]\nstorage.options.additionalimagestores = []\n[storage]\n\n[storage.options]\nadditionalimagestores = [\"/s\"]\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := StorageConf([]byte(test.from), []string{"/s"})
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, test.want)
			}
			again, err := StorageConf(got, []string{"/s", "/s"})
			if err != nil || string(again) != string(got) {
				t.Errorf("again:\n%s\n%v", again, err)
			}
		})
	}
}

// TestMCO is the file that nodes have, against a golden file.
func TestMCO(t *testing.T) {
	t.Parallel()
	read := func(name string) string {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	got, err := StorageConf([]byte(read("storage.conf-mco")), []string{store, "/var/lib/shared/nodeseal/b"})
	if err != nil {
		t.Fatal(err)
	}
	if want := read("storage.conf-mco.golden"); string(got) != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestSeveralStores(t *testing.T) {
	t.Parallel()
	got, err := StorageConf([]byte("[storage.options]\nadditionalimagestores = [\n  \"/b\"\n]\n"), []string{"/c", "/b", `/q"uo te`, "/c"})
	want := "[storage.options]\nadditionalimagestores = [\n  \"/b\",\n  \"/c\",\n  \"/q\\\"uo te\"\n]\n"
	if err != nil || string(got) != want {
		t.Errorf("got:\n%s\n%v\nwant:\n%s", got, err, want)
	}
	if got, err := StorageConf([]byte("x = 1"), nil); err != nil || string(got) != "x = 1" {
		t.Errorf("no stores: %q, %v", got, err)
	}
}

func TestRefusedPaths(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "relative", "/", "/a/", "/a/../b", "//a", "/a\nb", "/a:b", "/a,b", `/a\b`, "/a\xff"} {
		if _, err := StorageConf(nil, []string{"/good", bad}); !errors.Is(err, ErrStorePath) {
			t.Errorf("%q: %v, want ErrStorePath", bad, err)
		}
	}
}

func TestOverlap(t *testing.T) {
	t.Parallel()
	tests := []struct {
		from, store, key string // key is empty where there is no overlap
	}{
		{"", "/var/lib/containers/storage/x", "graphroot"},
		{"", "/var/lib/containers/storage", "graphroot"},
		{"", "/var/lib/containers", "graphroot"},
		{"", "/var/lib/containers/storage2", ""},
		{"[storage]\ngraphroot = \"/data/\"\n", "/data/x", "graphroot"},
		{"[storage]\ngraphroot = \"/data\"\n", "/var/lib/containers/storage/x", ""},
		{"[storage]\nGraphRoot = \"/data\"\n", "/data/x", "graphroot"},
		{"[storage]\nrunroot = \"/run/c\"\n", "/run/c/x", "runroot"},
		{"[storage]\nimagestore = \"/i\"\n", "/i", "imagestore"},
	}
	for _, test := range tests {
		_, err := StorageConf([]byte(test.from), []string{test.store})
		var overlap *OverlapError
		switch {
		case test.key == "" && err != nil:
			t.Errorf("%q with %s: %v", test.from, test.store, err)
		case test.key != "" && (!errors.As(err, &overlap) || overlap.Key != test.key || overlap.Store != test.store):
			t.Errorf("%q with %s: %v, want an OverlapError about %s", test.from, test.store, err, test.key)
		}
	}
}

func TestRefusedText(t *testing.T) {
	t.Parallel()
	for name, from := range map[string]string{
		"no TOML":          "[storage",
		"string":           "[storage.options]\nadditionalimagestores = \"/a\"\n",
		"table":            "[storage.options]\nadditionalimagestores = {}\n",
		"numbers":          "[storage.options]\nadditionalimagestores = [1]\n",
		"lists":            "[storage.options]\nadditionalimagestores = [[\"/a\"]]\n",
		"options no table": "[storage]\noptions = 1\n",
		"storage a list":   "[[storage]]\n",
		"twice in case":    "[storage.options]\nadditionalimagestores = []\nAdditionalImageStores = []\n",
		"tables twice":     "[storage.options]\n[storage.Options]\n",
		"graphroot number": "[storage]\ngraphroot = 1\n",
		"key twice":        "[storage.options]\nadditionalimagestores = []\nadditionalimagestores = []\n",
	} {
		if _, err := StorageConf([]byte(from), []string{"/s"}); !errors.Is(err, ErrStorageConf) {
			t.Errorf("%s: %v, want ErrStorageConf", name, err)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: an error of several lines: %v", name, err)
		}
	}
}
