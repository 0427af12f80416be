package ocp

import (
	"errors"
	"testing"

	"github.com/nodeseal/nodeseal/internal/memtest"
)

// FuzzRead: a cluster says any version. What is read is written as a version that is read as the
// same one; what Parse takes, Read takes.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"4.18", "4.18.3", "4.20.0-rc.1", "5.0", "4.018.0003", "4.18.99999", "4.99", "3.11", "4.18\n", ""} {
		f.Add(s)
	}
	f.Add(string(memtest.Repeat(1<<20, "4.18.3-", "a.", "")))
	f.Add(string(memtest.Repeat(1<<20, "4.", "1", "")))
	f.Fuzz(func(t *testing.T, s string) {
		var v, parsed Version
		var ok bool
		var err error
		memtest.Hold(t, 4*int64(len(s))+1<<20, func() {
			v, ok = Read(s)
			parsed, err = Parse(s)
		})
		if err != nil && !errors.Is(err, ErrVersion) || err == nil && (!ok || parsed != v) {
			t.Fatalf("%q is read as %v, %v, and parsed as %v, %v", s, v, ok, parsed, err)
		}
		if !ok {
			return
		}
		if again, ok := Read(v.String()); !ok || again != v {
			t.Errorf("%q is %v, and that is %v", s, v, again)
		}
		_ = v.OSSource()
		_, _, _ = v.NeedsPatch(), v.HasPinnedImageSet(), v.ReadsArtifacts()
	})
}
