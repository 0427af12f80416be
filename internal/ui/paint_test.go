package ui

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// TestPaint: words at the start of a line have a color, on a terminal that has colors, and
// NO_COLOR keeps them away.
func TestPaint(t *testing.T) {
	const text = "OK: 3 images\nOKAY\n  OK\nPROBLEM  /x: bad\nWARNING  /x: hm\nNOT OK: no\nnodeseal: failed\n"
	for name, test := range map[string]struct {
		env    map[string]string
		want   string
		silent bool
	}{
		"colors":   {nil, "\x1b[32mOK\x1b[0m: 3 images\nOKAY\n  OK\n\x1b[31mPROBLEM\x1b[0m  /x: bad\n\x1b[33mWARNING\x1b[0m  /x: hm\n\x1b[31mNOT OK\x1b[0m: no\n\x1b[31mnodeseal:\x1b[0m failed\n", false},
		"NO_COLOR": {map[string]string{"NO_COLOR": "1"}, text, false},
		"dumb":     {map[string]string{"TERM": "dumb"}, text, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TERM", "xterm")
			t.Setenv("NO_COLOR", "")
			for k, v := range test.env {
				t.Setenv(k, v)
			}
			term := testenv.NeedTerminal(t, 80)
			fmt.Fprint(Paint(term.File), text)
			if got := strings.ReplaceAll(term.Text(t), "\r", ""); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if w := Paint(file); w != file {
		t.Error("what is no terminal is painted")
	}
}

// TestItemTitle: people are shown the name of an item, programs the item.
func TestItemTitle(t *testing.T) {
	t.Parallel()
	for mode, want := range map[Mode]string{Plain: "(etcd)", JSON: `"item":"sha256:00"`} {
		var out strings.Builder
		r := New(mode, &out, Options{Interval: time.Hour})
		f := r.Func()
		f.Begin("import", 10, progress.Bytes)
		f.WorkingOn("import", "sha256:00", "etcd")
		r.drawer.tick(r.tracker.sample())
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s: %s", mode, out.String())
		}
	}
}

// TestStep: a step that takes no time is not worth a line, a warning is, and -q has neither.
func TestStep(t *testing.T) {
	t.Parallel()
	for mode, want := range map[Mode]string{Plain: "warning: hm\n", Quiet: "warning: hm\n", Silent: ""} {
		var out strings.Builder
		r := New(mode, &out, Options{Interval: time.Hour})
		if err := r.Func().During("sync", func() error { return nil }); err != nil {
			t.Fatal(err)
		}
		r.Func().Warn("hm")
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if out.String() != want {
			t.Errorf("%s: %q, want %q", mode, out.String(), want)
		}
	}
	v := view{name: "sync", unit: progress.Step, permille: 1000, took: 2 * time.Second, finished: true}
	var out strings.Builder
	plainDrawer{&out}.event(event{kind: progress.Finish, view: v})
	if out.String() != "sync: 100%, in 2.0s\n" {
		t.Errorf("%q", out.String())
	}
}

// TestStopped: a phase that was stopped says how far it came, if it says anything of it.
func TestStopped(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	err := plainDrawer{w: &b}.close([]view{
		{name: "records", unit: progress.Step, permille: -1},
		{name: "import", unit: progress.Count, permille: 500, done: 1, total: 2},
	})
	if want := "records: stopped\nimport: stopped at 50%, 1 of 2\n"; err != nil || b.String() != want {
		t.Errorf("%q, %v, want %q", b.String(), err, want)
	}
}
