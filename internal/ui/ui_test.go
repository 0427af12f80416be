package ui

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nodeseal/nodeseal/internal/progress"
)

// work is a made-up run: a phase of bytes whose total is raised, one of counts
// with an unknown total, messages, and one that does not end.
func work(f progress.Func) {
	const mib = 1 << 20
	f.Say("20 images")
	f.Begin("download", 1000*mib, progress.Bytes)
	f.Begin("resolve", 0, progress.Count)
	f.Working("download", "quay.io/a/b@sha256:0123456789abcdef0123456789abcdef")
	for range 7 {
		time.Sleep(time.Second)
		f.Add("download", 100*mib)
		f.Add("resolve", 1)
	}
	f.Begin("download", 2000*mib, progress.Bytes)
	f.End("resolve")
	time.Sleep(5 * time.Second)
	f.Add("download", 1300*mib)
	f.Warn("quay.io/c:1 has\nno signature\x1b[2J")
	time.Sleep(500 * time.Millisecond)
	f.End("download")
	f.Begin("compress", 10, progress.Count)
	f.Add("compress", 4)
	time.Sleep(time.Second)
}

// run shows the made-up work in a mode, with a clock of its own that starts at
// midnight of 1 January 2000.
func run(t *testing.T, mode Mode) string {
	t.Helper()
	var out strings.Builder
	synctest.Test(t, func(t *testing.T) {
		r := New(mode, &out, Options{})
		// The work's steps fall between the ticks, never on one.
		time.Sleep(50 * time.Millisecond)
		work(r.Func())
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		r.Func().Say("after the end")
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return out.String()
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{Plain, JSON, Quiet} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			got := run(t, mode)
			name := filepath.Join("testdata", string(mode)+".golden")
			want, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant (%s):\n%s", got, name, want)
			}
		})
	}
}

// TestAuto: what is no terminal gets lines, also where bars are asked for.
func TestAuto(t *testing.T) {
	t.Parallel()
	want := run(t, Plain)
	for _, mode := range []Mode{Auto, Bars, "unheard of"} {
		if got := run(t, mode); got != want {
			t.Errorf("%s:\n%s\nwant:\n%s", mode, got, want)
		}
	}
}

// countingWriter counts the writes.
type countingWriter struct{ writes atomic.Int64 }

func (w *countingWriter) Write(p []byte) (int, error) {
	w.writes.Add(1)
	return len(p), nil
}

// TestEveryTenSeconds: a phase that stands still is still reported.
func TestEveryTenSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &countingWriter{}
		r := New(Plain, w, Options{})
		r.Func().Begin("import", 10, progress.Count)
		for i := range 6 {
			before := w.writes.Load()
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if w.writes.Load() == before {
				t.Errorf("no line in the ten seconds after %ds", i*10)
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}

// stuckWriter never returns from Write before it is let go.
type stuckWriter struct{ free chan struct{} }

func (w stuckWriter) Write(p []byte) (int, error) {
	<-w.free
	return len(p), nil
}

// TestNeverBlocks: a writer that is stuck does not stop the work.
func TestNeverBlocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := stuckWriter{make(chan struct{})}
		r := New(Plain, w, Options{})
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for range 1000 {
					r.Func().Say("x")
					r.Func().Add("p", 1)
				}
			})
		}
		group.Wait() // would be a deadlock, which synctest reports
		close(w.free)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}

var errGone = errors.New("gone")

type brokenWriter struct{ calls int }

func (w *brokenWriter) Write([]byte) (int, error) {
	w.calls++
	return 0, errGone
}

// TestBrokenWriter: the first error is kept and nothing written after it.
func TestBrokenWriter(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{Plain, JSON} {
		w := &brokenWriter{}
		r := New(mode, w, Options{})
		r.Func().Say("one")
		r.Func().Say("two")
		if err := r.Close(); !errors.Is(err, errGone) || w.calls != 1 {
			t.Errorf("%s: error %v after %d writes", mode, err, w.calls)
		}
	}
}

// TestMonotone: whatever comes, nothing shown goes backwards or above its end.
func TestMonotone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := newTracker()
		f := progress.Func(tr.event)
		var last view
		steps := []func(){
			func() { f.Begin("p", 10, progress.Count) },
			func() { f.Add("p", 9) },
			func() { f.Begin("p", 100, progress.Count) },
			func() { f.Add("p", -5) },
			func() { f.Begin("p", 1, progress.Count) },
			func() { f.Add("p", 1000) },
			func() { f.Begin("p", 2000, progress.Count) },
		}
		for i, step := range steps {
			step()
			time.Sleep(time.Second)
			v := tr.sample()[0]
			if v.done < last.done || v.permille < last.permille || v.done > v.total || v.permille > 999 || v.left < 0 {
				t.Errorf("step %d: %+v after %+v", i, v, last)
			}
			last = v
		}
		f.End("p")
		events := tr.take()
		if v := events[len(events)-1].view; v.permille != 1000 || v.done != v.total || !v.finished {
			t.Errorf("at the end: %+v", v)
		}
		f.End("p")
		f.Add("p", 1) // a phase of the same name starts over
		if v := tr.sample(); len(v) != 1 || v[0].done != 1 {
			t.Errorf("after the end: %+v", v)
		}
	})
}

func TestFormat(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1395864371: "1.3 GiB", 1 << 50: "1.0 PiB", -2048: "-2.0 KiB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0.0s", 340 * time.Millisecond: "0.3s", 9949 * time.Millisecond: "9.9s", 9950 * time.Millisecond: "10s",
		42 * time.Second: "42s", 110 * time.Second: "1m50s", 59*time.Minute + 59*time.Second + 900*time.Millisecond: "1h0m",
		125 * time.Minute: "2h5m", -time.Second: "-1.0s",
	} {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%v) = %q, want %q", d, got, want)
		}
	}
	if got := shortDigests("quay.io/a@sha256:0123456789abcdef"); got != "quay.io/a@sha256:0123456789ab" {
		t.Errorf("shortDigests: %q", got)
	}
}
