// Package ui shows people and programs what long work reports about itself:
// renderers of progress events, and how sizes and times are written.
package ui

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/nodeseal/nodeseal/internal/progress"
)

// Mode is a way to show progress.
type Mode string

// The modes. In all of them a phase never goes backwards, never shows more than
// its total, and shows 100% when it is finished and not before.
const (
	// Auto is Bars where the writer is a terminal that can move its cursor,
	// else Plain.
	Auto Mode = "auto"
	// Bars draws one bar for each phase, several times a second. Where the
	// writer is no terminal it is Plain.
	Bars Mode = "bars"
	// Plain writes a line for each phase that is under way, every five seconds,
	// and one when it ends.
	Plain Mode = "plain"
	// JSON writes lines of JSON (Line, Message), one every second for each phase
	// that is under way, and one for everything that begins, ends or is said.
	JSON Mode = "json"
	// Quiet writes warnings and nothing else.
	Quiet Mode = "none"
	// Silent writes nothing.
	Silent Mode = "silent"
)

// Options are the choices of New. The zero value is right for people.
type Options struct {
	// Interval is the time between two looks at the work; 0 means the mode's
	// own. It should not be above ten seconds.
	Interval time.Duration
}

// Renderer shows progress until Close.
type Renderer struct {
	tracker *tracker
	drawer  drawer
	out     *stickyWriter
	closing chan struct{}
	done    chan struct{}
	err     error // of drawer.close
}

// drawer shows phases in one mode. Its methods are called by one goroutine.
type drawer interface {
	// event shows that a phase began or ended, or what was said.
	event(event)
	// tick shows the phases that are under way.
	tick([]view)
	// close shows the phases that did not end, and gives the terminal back. It
	// returns errors that the writer given to New does not know of.
	close([]view) error
}

// New starts to show progress on w in a mode. An unknown mode is Auto. It owns
// w until Close, which the caller must call.
func New(mode Mode, w io.Writer, opts Options) *Renderer {
	out := &stickyWriter{w: w}
	if mode != JSON {
		out.w = Paint(w)
	}
	d, interval := newDrawer(mode, w, out)
	if opts.Interval > 0 {
		interval = opts.Interval
	}
	r := &Renderer{
		tracker: newTracker(), drawer: d, out: out,
		closing: make(chan struct{}), done: make(chan struct{}),
	}
	go r.run(interval)
	return r
}

func newDrawer(mode Mode, w io.Writer, out *stickyWriter) (drawer, time.Duration) {
	switch mode {
	case JSON:
		return newJSONDrawer(out), time.Second
	case Quiet:
		return quietDrawer{out}, time.Minute
	case Silent:
		return silentDrawer{}, time.Minute
	case Plain:
		return plainDrawer{out}, 5 * time.Second
	default:
		if file, ok := w.(*os.File); ok && (hasCursor(file) || mode == Bars && term.IsTerminal(int(file.Fd()))) {
			return newBarsDrawer(file), 200 * time.Millisecond
		}
		return plainDrawer{out}, 5 * time.Second
	}
}

// Func returns where the work reports to. It never waits for the writer, may be
// called from many goroutines, and does nothing after Close.
func (r *Renderer) Func() progress.Func { return r.tracker.event }

// Close shows what is left and ends. It returns the first error of the writer.
// Closing again does nothing; it must not be called by two goroutines at once.
func (r *Renderer) Close() error {
	select {
	case <-r.done:
	default:
		close(r.closing)
		<-r.done
	}
	return cmp.Or(r.out.err, r.err)
}

// run draws, on a clock of its own.
func (r *Renderer) run(interval time.Duration) {
	defer close(r.done)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-r.tracker.wake:
			r.events()
		case <-ticker.C:
			r.events()
			r.drawer.tick(r.tracker.sample())
		case <-r.closing:
			r.tracker.stop()
			r.events()
			r.err = r.drawer.close(r.tracker.sample())
			return
		}
	}
}

func (r *Renderer) events() {
	for _, e := range r.tracker.take() {
		r.drawer.event(e)
	}
}

// stickyWriter keeps the first error and writes nothing after it: a closed
// terminal ends the showing, not the work.
type stickyWriter struct {
	w   io.Writer
	err error
}

func (s *stickyWriter) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if err != nil {
		s.err = fmt.Errorf("writing progress: %w", err)
	}
	return n, err
}
