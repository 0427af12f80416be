package build_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle/layerrules"
	"github.com/nodeseal/nodeseal/internal/store/build"
)

func TestImplied(t *testing.T) {
	t.Parallel()
	var im build.Implied
	for _, c := range []struct {
		name string
		dir  bool
		want int64
	}{
		{"usr/", true, 0}, {"usr/bin/", true, 0}, {"usr/bin/a", false, 0}, {"./usr/lib/x/y", false, 2}, {"usr/lib/x/z", false, 0},
		{"/etc/hosts", false, 1}, {"etc", true, 0}, {"etc/passwd", false, 0}, {"../../a/b", false, 1}, {"/", true, 0},
		{"lib", true, 0}, {"lib/x", false, 0},
		{strings.Repeat("d/", 2000) + "f", false, 2000}, {strings.Repeat("d/", 2000) + "g", false, 0},
	} {
		if got, err := im.Add(c.name, c.dir); got != c.want || err != nil {
			t.Errorf("%.20s: %d directories, want %d, %v", c.name, got, c.want, err)
		}
	}
	// It counts right, however many there are.
	var n int64
	for i := range 200_000 {
		more, err := im.Add(fmt.Sprintf("many/%d/f", i), false)
		if n += more; err != nil {
			t.Fatal(err)
		}
	}
	if n != 200_001 {
		t.Errorf("%d directories", n)
	}
	var err error
	for i := 0; err == nil && i < 2000; i++ {
		_, err = im.Add(fmt.Sprint(i)+"/"+strings.Repeat("d/", 2000)+"f", false)
	}
	if !errors.Is(err, layerrules.ErrTooMany) {
		t.Errorf("more than a layer may have: %v", err)
	}
}
