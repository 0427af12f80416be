package ui

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/nodeseal/nodeseal/internal/progress"
)

const (
	barScale  = 1000 // a bar counts thousandths, so that a raised total takes nothing back
	minBar    = 12   // columns that a bar keeps, where the terminal has them
	framesGap = 150 * time.Millisecond
)

// barsDrawer draws a bar for each phase, and below it what it works on.
type barsDrawer struct {
	file *os.File
	bars *mpb.Progress // nil until the first phase begins
	rows map[*phase]*row
}

// row is the bar of a phase. The library draws it on a goroutine of its own.
type row struct {
	bar     *mpb.Bar
	view    atomic.Pointer[view]
	stopped atomic.Bool
}

func newBarsDrawer(file *os.File) *barsDrawer {
	return &barsDrawer{file: file, rows: make(map[*phase]*row)}
}

func (d *barsDrawer) event(e event) {
	switch e.kind {
	case progress.Start:
		if e.view.unit != progress.Step {
			d.show(e.view)
		}
	case progress.Finish:
		if d.rows[e.view.phase] != nil || e.view.unit != progress.Step {
			d.show(e.view)
		}
		delete(d.rows, e.view.phase)
	case progress.Note, progress.Warning:
		text := e.text()
		if _, colored := Paint(d.file).(*painter); colored {
			text = string(paint([]byte(text)))
		}
		if d.bars == nil {
			fmt.Fprintln(d.file, text)
		} else {
			fmt.Fprintln(d.bars, text) // above the bars
		}
	default: // the tracker sends no others
	}
}

func (d *barsDrawer) tick(views []view) {
	for _, v := range views {
		d.show(v)
	}
}

// close leaves the bars of what did not end as they are.
func (d *barsDrawer) close(views []view) error {
	for _, v := range views {
		d.show(v)
		r := d.rows[v.phase]
		r.stopped.Store(true)
		r.bar.Abort(false)
	}
	if d.bars == nil {
		return nil
	}
	d.bars.Wait()
	return d.bars.Error
}

// show hands a view to the bar of its phase, and makes the bar at first.
func (d *barsDrawer) show(v view) {
	if d.bars == nil {
		d.bars = mpb.New(mpb.WithConsoleWriter(&console{file: d.file}), mpb.WithRefreshRate(framesGap), mpb.WithAutoRefresh())
	}
	r, ok := d.rows[v.phase]
	if !ok {
		r = &row{}
		r.view.Store(&v)
		r.bar = d.bars.MustAdd(0, mpb.BarStyle().Build(),
			mpb.PrependDecorators(decor.Any(r.name, decor.WCSyncWidthR)),
			mpb.AppendDecorators(decor.Any(r.numbers)),
			mpb.BarExtender(mpb.BarFillerFunc(r.item), false))
		r.bar.SetTotal(barScale, false)
		d.rows[v.phase] = r
	}
	r.view.Store(&v)
	r.bar.SetCurrent(max(v.permille, 0))
	if v.finished {
		r.bar.SetTotal(barScale, true)
	}
}

// name is the text before the bar.
func (r *row) name(decor.Statistics) string { return r.view.Load().name }

// numbers is the text behind the bar: as much as the terminal has room for,
// what matters most first.
func (r *row) numbers(s decor.Statistics) string {
	v := r.view.Load()
	last := v.remaining()
	switch {
	case v.finished:
		last = "in " + Duration(v.took)
	case r.stopped.Load():
		last = "stopped"
	}
	text := fmt.Sprintf("%4s", v.percent())
	for _, part := range []string{v.amounts(), v.speed(), last} {
		if part != "" && runewidth.StringWidth(text)+2+runewidth.StringWidth(part) <= s.AvailableWidth-minBar {
			text += "  " + part
		}
	}
	return text
}

// item is the line below the bar.
func (r *row) item(w io.Writer, s decor.Statistics) error {
	v := r.view.Load()
	text := shortDigests(cmp.Or(v.title, v.item))
	if text == "" || v.finished || r.stopped.Load() || s.AvailableWidth < 3 {
		return nil
	}
	if over := runewidth.StringWidth(text) - (s.AvailableWidth - 3); over > 0 {
		text = runewidth.TruncateLeft(text, over+1, "…") // the end tells references apart
	}
	_, err := fmt.Fprintln(w, "  "+text)
	return err
}

// shortDigests cuts the digests in a reference to what people compare.
func shortDigests(s string) string {
	const shown = 12
	before, after, found := strings.Cut(s, "sha256:")
	if !found || len(after) <= shown {
		return s
	}
	return before + "sha256:" + after[:shown]
}
