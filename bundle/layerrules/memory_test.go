package layerrules

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/memtest"
)

// At most twice what docs/threat-model.md says is held for each member: garbage counts. Hold
// allows no other test beside it.
func TestMemory(t *testing.T) {
	const members = 1 << 16
	long := strings.Repeat("x", 1<<20)
	const part = 256 << 10 // of the mebibyte: what the collector has not taken yet counts
	for name, c := range map[string]struct {
		most    int64 // for each member
		members int
		member  func(i int) Member
	}{
		"files":       {72, members, func(i int) Member { return file(fmt.Sprint(i/1000, "/", i)) }},
		"links":       {110, members, func(i int) Member { return symlink(fmt.Sprint(i), fmt.Sprint(i)) }},
		"directories": {96, members, func(i int) Member { return dir(fmt.Sprint(i)) }},
		"parts of long records": {part, 100, func(i int) Member {
			record := fmt.Sprintf("%08d", i) + long
			return symlink(record[:8], record[:1]) // as archive/tar cuts them from a pax record
		}},
		"parts of long records, directories": {part, 100, func(i int) Member { return dir((fmt.Sprintf("%08d", i) + long)[:8]) }},
	} {
		memtest.Hold(t, c.most*int64(c.members)+1<<20, func() {
			check := new(Checker)
			for i := range c.members {
				if _, err := check.Add(c.member(i)); err != nil {
					t.Fatal(name, err)
				}
			}
			if err := check.End(); err != nil {
				t.Fatal(name, err)
			}
		})
	}
}

// One layer at a time is large, with what callers keep of it.
func TestBound(t *testing.T) {
	t.Parallel()
	ended, end := context.WithCancel(t.Context())
	end()
	const each = 1 << 10
	fill := func(c *Checker, n int) (err error) {
		for i := 0; i < n && err == nil; i++ {
			_, err = c.Add(file(fmt.Sprint(c.members)))
		}
		return err
	}
	first, other := new(Checker), new(Checker)
	work, otherWork := Begin(t.Context()), Begin(ended)
	first.Bound(work, each)
	other.Bound(otherWork, each)
	if err := errors.Join(fill(first, 2*LargeMemory/each), fill(other, LargeMemory/each/2)); err != nil {
		t.Fatal(err)
	}
	var refused *Error
	if err := fill(other, LargeMemory/each); !errors.Is(err, context.Canceled) || errors.As(err, &refused) {
		t.Errorf("a second large layer: %v", err)
	}
	work.Done()
	otherWork.Done()
	other = new(Checker)
	work = Begin(t.Context())
	other.Bound(work, each)
	if err := fill(other, 2*LargeMemory/each); err != nil {
		t.Errorf("after the first: %v", err)
	}
	work.Done()
}
