package ui

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// lines are the rows that text draws, without what moves the cursor.
func lines(text string) []string {
	moves := regexp.MustCompile("\x1b\\[[0-9;?]*[a-zA-Z]")
	return strings.FieldsFunc(moves.ReplaceAllString(text, ""), func(r rune) bool { return r == '\n' || r == '\r' })
}

// showBars shows work on a terminal, with a clock of its own.
func showBars(t *testing.T, columns uint16, mode Mode) string {
	t.Helper()
	term := testenv.NeedTerminal(t, columns)
	synctest.Test(t, func(t *testing.T) {
		r := New(mode, term.File, Options{Interval: 20 * time.Millisecond})
		f := r.Func()
		f.Begin("download", 64<<20, progress.Bytes)
		f.Begin("resolve", 4, progress.Count)
		f.Working("download", "quay.io/openshift-release-dev/ocp-v4.0-art-dev@sha256:0123456789abcdef0123456789abcdef")
		for range 4 {
			time.Sleep(120 * time.Millisecond)
			f.Add("download", 8<<20)
			f.Add("resolve", 1)
		}
		f.Warn("quay.io/c has no signature")
		f.End("resolve")
		time.Sleep(300 * time.Millisecond)
		f.End("download")
		f.Begin("compress", 10, progress.Count)
		f.Add("compress", 4)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return term.Text(t)
}

func TestBars(t *testing.T) {
	t.Parallel()
	text := showBars(t, 100, Auto)
	rows := lines(text)
	all := strings.Join(rows, "\n")
	for _, want := range []string{
		`(?m)^download +\[=+>?-+\] +(12|25|37)%  \d+\.0 MiB of 64\.0 MiB  \d+\.\d MiB/s  \ds left`,
		`(?m)^download +\[=+\] +100%  64\.0 MiB`,
		`(?m)^resolve +\[=+\] +100%  4  in 0\.\ds`,
		`(?m)^compress +\[=+>-+\] +40%  4 of 10  stopped`,
		`(?m)^  quay\.io/openshift-release-dev/ocp-v4\.0-art-dev@sha256:0123456789ab$`,
		`(?m)^warning: quay\.io/c has no signature$`,
	} {
		if !regexp.MustCompile(want).MatchString(all) {
			t.Errorf("nothing matches %s in:\n%s", want, all)
		}
	}
	last := -1
	for _, row := range rows {
		var percent int
		m := regexp.MustCompile(`^download .* (\d+)%`).FindStringSubmatch(row)
		if m == nil {
			continue
		}
		if _, err := fmt.Sscan(m[1], &percent); err != nil {
			t.Fatal(err)
		}
		if percent < last || percent > 100 {
			t.Errorf("%d%% after %d%%", percent, last)
		}
		last = percent
	}
	if last != 100 {
		t.Errorf("download ends at %d%%", last)
	}
	if !strings.HasSuffix(text, "\n") {
		t.Errorf("the cursor is left behind a bar: %q", text[max(0, len(text)-80):])
	}
}

// TestNarrow: no row is wider than the terminal, whatever its width.
func TestNarrow(t *testing.T) {
	t.Parallel()
	for _, columns := range []uint16{10, 24, 40, 60} {
		t.Run(fmt.Sprint(columns), func(t *testing.T) {
			t.Parallel()
			text := showBars(t, columns, Bars)
			for _, row := range lines(text) {
				if w := runewidth.StringWidth(row); w > int(columns) && !strings.HasPrefix(row, "warning:") {
					t.Errorf("%d columns: %q", w, row)
				}
			}
			if columns >= 24 && !strings.Contains(text, "100%") {
				t.Errorf("no 100%% in:\n%s", strings.Join(lines(text), "\n"))
			}
		})
	}
}

// TestNoBars: without any phase a terminal gets messages and nothing else.
func TestNoBars(t *testing.T) {
	t.Parallel()
	term := testenv.NeedTerminal(t, 80)
	r := New(Auto, term.File, Options{})
	r.Func().Say("hello")
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if got := term.Text(t); got != "hello\r\n" {
		t.Errorf("the terminal saw %q", got)
	}
}

// TestTerminalGone: the work goes on, and Close returns.
func TestTerminalGone(t *testing.T) {
	t.Parallel()
	term := testenv.NeedTerminal(t, 80)
	synctest.Test(t, func(*testing.T) {
		r := New(Auto, term.File, Options{Interval: 10 * time.Millisecond})
		f := r.Func()
		f.Begin("download", 100, progress.Bytes)
		time.Sleep(200 * time.Millisecond)
		term.HangUp()
		for range 20 {
			f.Add("download", 1)
			f.Say("x")
			time.Sleep(20 * time.Millisecond)
		}
		f.End("download")
		_ = r.Close() // that it returns is the test
	})
	if _, err := io.WriteString(term.File, "x"); err == nil {
		t.Error("the terminal is still there")
	}
}
