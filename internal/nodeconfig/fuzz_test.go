package nodeconfig

import (
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
