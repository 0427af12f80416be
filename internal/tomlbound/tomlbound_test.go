package tomlbound_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/memtest"
	"github.com/nodeseal/nodeseal/internal/tomlbound"
)

func TestUnmarshal(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		doc   string
		bound bool
	}{
		"a registries.conf": {strings.Repeat("[[registry]]\nprefix = \"a.b.c/d\"\nlocation = \"e.f.g/h\"\n[[registry.mirror]]\nlocation = \"i.j:5000/k\"\n", 5000), false},
		"too long":          {"a = \"" + strings.Repeat("x", tomlbound.MaxSize) + "\"\n", true},
		"deep":              {"a = " + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + "\n", true},
		"a key of many":     {"a" + strings.Repeat(".a", 10_000) + " = 1\n", true},
		"a header of many":  {"[a" + strings.Repeat(".a", 10_000) + "]\n", true},
		"many keys of many": {strings.Repeat("[[t]]\nb"+strings.Repeat(".a", 500)+" = 1\n", 500), true},
		"empty tables":      {strings.Repeat("[[a]]\n", 100_000), true},
		"empty lists":       {"a = [" + strings.Repeat("[],", 100_000) + "]\n", true},
	} {
		var v map[string]any
		err := tomlbound.Unmarshal([]byte(c.doc), &v)
		if errors.Is(err, tomlbound.ErrBound) != c.bound || err != nil && !c.bound {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What Check passes is decoded with a bounded memory.
func FuzzUnmarshal(f *testing.F) {
	for _, each := range []string{"[[a]]\n", "[", "{", "a.", "[],", "{},", "a=1\n", "\"\",", "[a.b.c]\n", "a=[[[[]]]]\n"} {
		f.Add([]byte("a = "), []byte(each), uint32(64<<10))
		f.Add([]byte("a = ["), []byte(each), uint32(64<<10))
		f.Add([]byte{}, []byte(each), uint32(64<<10))
	}
	f.Fuzz(func(t *testing.T, before, each []byte, size uint32) {
		if len(each) == 0 {
			return
		}
		doc := memtest.Repeat(min(int(size), tomlbound.MaxSize), string(before), string(each), "")
		memtest.Hold(t, 96<<20, func() {
			var v map[string]any
			_ = tomlbound.Unmarshal(doc, &v)
		})
	})
}
