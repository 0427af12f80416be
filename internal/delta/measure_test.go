package delta

import (
	"bytes"
	"fmt"
	"github.com/nodeseal/nodeseal/bundle/delta"
	"github.com/opencontainers/go-digest"
	"os"
	"syscall"
	"testing"
	"time"
)

func cpu() time.Duration {
	var r syscall.Rusage
	syscall.Getrusage(0, &r)
	return time.Duration(r.Utime.Nano())
}

func TestY(t *testing.T) {
	old, _ := os.ReadFile(os.Getenv("OLD"))
	now, _ := os.ReadFile(os.Getenv("NEW"))
	if now == nil {
		t.Skip()
	}
	s := cpu()
	ops := Compare(old, now)
	c := cpu() - s
	var buf bytes.Buffer
	w, _ := delta.NewWriter(&buf, int64(len(now)), []digest.Digest{digest.FromString("layer")})
	w.Changed(delta.File{Path: "usr/bin/program", Size: int64(len(old))}, delta.Change{
		Old: old, Now: now, Ops: ops, OldRanges: Ranges(old), NowRanges: Ranges(now),
	})
	w.Close()
	e := cpu() - s
	fmt.Printf("%s new %d delta %d ops %d; compare %v all %v = %.0f MB/s\n", os.Getenv("NEW"), len(now), buf.Len(), len(ops), c, e, float64(len(now))/1e6/e.Seconds())
	roundTrip(t, old, now)
}
