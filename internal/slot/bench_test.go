package slot

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
	"golang.org/x/sys/unix"
)

// BenchmarkReseal fills a slot with a release and the other one with the next
// release, which shares 80 % of its layers. It reports the processor time of the
// second as a part of what a full import of it takes (part/cpu), and the same of
// the time that passed (part/wall).
func BenchmarkReseal(b *testing.B) {
	dir := testenv.NeedFSOfSize(b, "xfs", 4<<30)
	old, next := benchRelease(b, 0), benchRelease(b, 2)
	for i := 0; b.Loop(); i++ {
		fillTime := func(name string, sources ...*storetest.Source) (cpu, wall time.Duration) {
			r, err := Open(filepath.Join(dir, fmt.Sprint(name, i)), Options{NoMount: true})
			if err != nil {
				b.Fatal(err)
			}
			for n, src := range sources {
				began, used := time.Now(), processorTime(b)
				if _, err := r.Fill(b.Context(), src, FillOptions{Now: clock(n + 1), FromOtherSlot: true}); err != nil {
					b.Fatal(err)
				}
				cpu, wall = processorTime(b)-used, time.Since(began)
			}
			b.StopTimer()
			for _, n := range Names() {
				if err := discard(b.Context(), r.Path(n)); err != nil {
					b.Fatal(err)
				}
			}
			b.StartTimer()
			return cpu, wall
		}
		fullCPU, fullWall := fillTime("full", next)
		cpu, wall := fillTime("reseal", old, next)
		b.ReportMetric(cpu.Seconds()/fullCPU.Seconds(), "part/cpu")
		b.ReportMetric(wall.Seconds()/fullWall.Seconds(), "part/wall")
	}
}

// benchRelease is ten layers of 25 MB in 1,250 files, in ten images. The
// first ones are changed, against the release with none changed.
func benchRelease(b *testing.B, changed int) *storetest.Source {
	b.Helper()
	src := storetest.NewSource(b, bundle.Original)
	for i := range 10 {
		seed := uint64(i)
		if i < changed {
			seed += 100
		}
		state := seed*2 + 1
		var entries []storetest.Entry
		for f := range 1250 {
			content := make([]byte, 20_000)
			for k := range content {
				state = state*6364136223846793005 + 1442695040888963407
				content[k] = "etaoinshrdlu ,.\n"[state>>60]
			}
			entries = append(entries, storetest.File(fmt.Sprintf("dir%d/file%d", f%40, f), string(content)))
		}
		src.Add(storetest.Image{
			Repository: fmt.Sprintf("example.com/%d", i), Layers: [][]byte{storetest.Tar(b, entries...)}, Compression: "zstd",
		})
	}
	return src
}

// processorTime is what this process has used.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
