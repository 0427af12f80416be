package erofs_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/erofs"
)

// BenchmarkSmallFiles writes trees of small files, each with a content of its own, a
// time of its own and a name of 20 bytes, twenty to a directory; every tenth is of two
// blocks. The resident memory is that of the process at its peak: run one size alone.
func BenchmarkSmallFiles(b *testing.B) {
	for _, files := range []int{100_000, 2_000_000} {
		b.Run(strconv.Itoa(files), func(b *testing.B) {
			for b.Loop() {
				smallFiles(b, files)
			}
		})
	}
}

func smallFiles(b *testing.B, files int) {
	name := filepath.Join(b.TempDir(), "image")
	image, spool := create(b, name), create(b, name+".spool")
	defer image.Close()
	defer spool.Close()
	build, err := erofs.New(image, erofs.Options{Spool: spool})
	if err != nil {
		b.Fatal(err)
	}
	phases := []usage{now(b)}
	size := func(i int) int {
		if i%10 == 0 {
			return 5000
		}
		return 100 + i*7919%1400
	}
	contents := make([]erofs.Content, files)
	for i := range contents {
		if contents[i], err = build.Reserve(int64(size(i)), 1); err != nil {
			b.Fatal(err)
		}
	}
	w := build.NewWriter()
	data := strings.Repeat("x", 5000)
	parent := erofs.Root
	r := strings.NewReader("")
	for i, c := range contents {
		r.Reset(data[:size(i)])
		if err := w.Copy(c, r); err != nil {
			b.Fatal(err)
		}
		attr := erofs.Attr{Mode: 0o644, ModTime: time.Unix(int64(i), 1)}
		if i%20 == 0 {
			if parent, err = build.Dir(erofs.Root, fmt.Sprintf("directory-%010d", i), attr); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := build.File(parent, fmt.Sprintf("a-file-of-%010d", i), attr, c); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	phases = append(phases, now(b))
	got, err := build.Finish(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	phases = append(phases, now(b))
	for i, name := range []string{"contents", "finish"} {
		from, to := phases[i], phases[i+1]
		b.ReportMetric(to.wall.Sub(from.wall).Seconds(), name+"-wall-s")
		b.ReportMetric((to.user - from.user).Seconds(), name+"-user-s")
		b.ReportMetric((to.sys - from.sys).Seconds(), name+"-sys-s")
	}
	b.ReportMetric(float64(got.Size-got.Contents)/1e6, "MB-metadata")
	b.ReportMetric(float64(got.Size)/1e6, "MB-image")
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapAlloc)/1e6, "MB-live")
	runtime.KeepAlive(build)
	b.ReportMetric(peakMB(b), "MB-peak")
}

// usage is the time that the process took until a moment.
type usage struct {
	wall      time.Time
	user, sys time.Duration
}

func now(b *testing.B) usage {
	b.Helper()
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return usage{wall: time.Now(), user: time.Duration(r.Utime.Nano()), sys: time.Duration(r.Stime.Nano())}
}

// peakMB is the largest resident size of the process so far.
func peakMB(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip("no /proc")
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb * 1024 / 1e6
		}
	}
	return 0
}
