package nodeconfig

import (
	"errors"
	"os"
	"reflect"
	"testing"

	"github.com/BurntSushi/toml"

	"github.com/nodeseal/nodeseal/internal/memtest"
)

// FuzzStorageConf: never a panic; what comes out holds all of what went in, in
// its order, and differs in the one setting only, as another parser than the
// one of verify reads it; doing it again changes nothing.
func FuzzStorageConf(f *testing.F) {
	mco, err := os.ReadFile("testdata/storage.conf-mco")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(mco)
	for _, seed := range []string{
		"", "[storage.options]\nadditionalimagestores = [\"/a\",]\n", "[storage.options]\nadditionalimagestores = [\n \"/a\" # x\n]",
		"[storage]\noptions.size = ''\n", "storage = { options = {} }", "[storage.options]\r\n#additionalimagestores = [\r\n",
		"storage = {options = {additionalimagestores = [{append = true},]}}", "[[storage]]\n", "\"storage\".'options'.additionalimagestores=['''\n/a''']",
	} {
		f.Add([]byte(seed))
	}
	f.Add(memtest.Repeat(512<<10, "a = ", "[", ""))
	f.Add(memtest.Repeat(256<<10, "a", ".a", " = 1\n"))
	f.Add(memtest.Repeat(256<<10, "", "[[a]]\n", ""))
	f.Add(memtest.Repeat(256<<10, "a = [", "{},", "{}]\n"))
	f.Fuzz(func(t *testing.T, from []byte) {
		var out []byte
		var err error
		memtest.Hold(t, 128*int64(len(from))+32<<20, func() { out, err = StorageConf(from, []string{"/s"}) })
		if err != nil {
			return
		}
		rest := out
		for _, b := range from {
			i := 0
			for i < len(rest) && rest[i] != b {
				i++
			}
			if i == len(rest) {
				t.Fatalf("%q is not in %q", from, out)
			}
			rest = rest[i+1:]
		}
		var before, after map[string]any
		if toml.Unmarshal(from, &before) != nil {
			return // the two parsers differ about what is valid
		}
		if err := toml.Unmarshal(out, &after); err != nil {
			t.Fatalf("%q became %q: %v", from, out, err)
		}
		if before == nil {
			before = map[string]any{}
		}
		(&settings{before}).dropStores()
		(&settings{after}).dropStores()
		if !reflect.DeepEqual(before, after) {
			t.Fatalf("%q became %q: %v, %v", from, out, before, after)
		}
		again, err := StorageConf(out, []string{"/s"})
		if err != nil || string(again) != string(out) {
			t.Fatalf("%q became %q: %v", out, again, err)
		}
	})
}

// FuzzReadStorage: a file that is refused changes nothing of what earlier files said.
func FuzzReadStorage(f *testing.F) {
	f.Add([]byte("[storage]\ndriver = \"overlay\"\ngraphroot = \"/g\"\n[storage.options]\nadditionalimagestores = [\"/a\", {append = true}]\n"))
	f.Add([]byte("[storage]\ngraphroot = 1\n"))
	f.Add([]byte("storage = 1\n"))
	f.Add([]byte("[storage.options]\nadditionalimagestores = [[], {append = 1}, 2]\n"))
	f.Add(memtest.Repeat(256<<10, "[storage.options]\nadditionalimagestores = [", "{},", "{}]\n"))
	f.Add(memtest.Repeat(256<<10, "a", ".a", " = 1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		memtest.Hold(t, 128*int64(len(text))+32<<20, func() {
			if _, err := ReadStorage(text); err != nil && !errors.Is(err, ErrStorageConf) {
				t.Errorf("%q: %v", text, err)
			}
			before := Storage{Driver: "overlay", GraphRoot: "/g", Stores: []string{"/s"}}
			after := before
			if _, err := after.Apply(text); err != nil && !reflect.DeepEqual(before, after) {
				t.Errorf("%q is refused and changes %+v to %+v", text, before, after)
			}
		})
	})
}
