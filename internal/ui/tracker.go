package ui

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/visible"
)

// rateWindow is how far back the rate looks.
const rateWindow = 15 * time.Second

// tracker adds events up. It is safe for concurrent use and never waits for
// whoever draws.
type tracker struct {
	wake chan struct{} // holds one token when there are events to take

	mu      sync.Mutex
	phases  []*phase // in the order in which they began
	events  []event
	stopped bool
}

// event is what a drawer shows at once, not at the next tick.
type event struct {
	kind    progress.Kind // Start, Finish, Note or Warning
	at      time.Time
	view    view   // of Start and Finish
	message string // of Note and Warning
}

// phase is what is known of one phase.
type phase struct {
	name     string
	unit     progress.Unit
	item     string
	title    string // of the item, for people; "" if it has none
	total    int64  // 0 where not known
	done     int64  // may be above total for a while, until total is raised
	permille int64  // the highest ever shown
	start    time.Time
	end      time.Time // zero while under way
	samples  []sample  // of the last rateWindow, oldest first
}

type sample struct {
	at   time.Time
	done int64
}

// view is a phase as it is to be shown.
type view struct {
	phase    *phase // which one: names may come again
	name     string
	unit     progress.Unit
	item     string
	title    string
	total    int64   // 0 where not known
	done     int64   // never above a known total
	permille int64   // -1 where the total is not known
	rate     float64 // units a second
	left     time.Duration
	leftOK   bool // left is known
	took     time.Duration
	finished bool
}

func newTracker() *tracker { return &tracker{wake: make(chan struct{}, 1)} }

// oneLine makes one line of a text that may come from a network, without anything
// that a terminal would obey.
func oneLine(s string) string {
	return visible.Line(strings.ReplaceAll(strings.TrimSpace(s), "\n", " "))
}

// event takes one in.
func (t *tracker) event(e progress.Event) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return
	}
	switch e.Kind {
	case progress.Note, progress.Warning:
		t.say(event{kind: e.Kind, at: now, message: oneLine(e.Message)})
	case progress.Start:
		p := t.active(e.Phase)
		began := p == nil
		if began {
			p = t.begin(e.Phase, now)
		}
		p.total = max(p.total, e.Total)
		if e.Unit != "" {
			p.unit = e.Unit
		}
		if began {
			t.say(event{kind: e.Kind, at: now, view: p.view(now)})
		}
	case progress.Advance:
		p := t.active(e.Phase)
		if p == nil {
			p = t.begin(e.Phase, now)
		}
		p.done += max(e.N, 0)
	case progress.Item:
		p := t.active(e.Phase)
		if p == nil {
			p = t.begin(e.Phase, now)
		}
		p.item, p.title = oneLine(e.Item), oneLine(e.Message)
	case progress.Finish:
		if p := t.active(e.Phase); p != nil {
			p.finish(now)
			t.say(event{kind: e.Kind, at: now, view: p.view(now)})
			t.phases = slices.DeleteFunc(t.phases, func(q *phase) bool { return q == p })
		}
	}
}

// active finds the phase of a name that is under way.
func (t *tracker) active(name string) *phase {
	name = oneLine(name)
	for _, p := range t.phases {
		if p.name == name {
			return p
		}
	}
	return nil
}

func (t *tracker) begin(name string, now time.Time) *phase {
	p := &phase{name: oneLine(name), unit: progress.Count, start: now, samples: []sample{{at: now}}}
	t.phases = append(t.phases, p)
	return p
}

func (t *tracker) say(e event) {
	t.events = append(t.events, e)
	select {
	case t.wake <- struct{}{}:
	default: // whoever draws knows already
	}
}

// take hands the events over that came since the last call.
func (t *tracker) take() []event {
	t.mu.Lock()
	defer t.mu.Unlock()
	events := t.events
	t.events = nil
	return events
}

// stop makes the tracker deaf.
func (t *tracker) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
}

// sample notes how far each phase is, for its rate, and returns those that are
// under way in the order in which they began.
func (t *tracker) sample() []view {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	views := make([]view, len(t.phases))
	for i, p := range t.phases {
		views[i] = p.view(now)
		p.samples = append(p.samples, sample{at: now, done: p.done})
		for len(p.samples) > 1 && now.Sub(p.samples[0].at) > rateWindow {
			p.samples = p.samples[1:]
		}
	}
	return views
}

func (p *phase) finish(now time.Time) {
	p.end = now
	if p.total == 0 {
		p.total = p.done
	}
	p.done = p.total
}

// view says how the phase stands.
func (p *phase) view(now time.Time) view {
	v := view{
		phase: p, name: p.name, unit: p.unit, item: p.item, title: p.title, total: p.total, done: p.done,
		permille: -1, took: now.Sub(p.start), finished: !p.end.IsZero(),
	}
	if v.finished {
		v.permille = 1000
		v.rate = perSecond(p.done, v.took)
		return v
	}
	v.rate = perSecond(p.done-p.samples[0].done, now.Sub(p.samples[0].at))
	if p.total > 0 {
		v.done = min(p.done, p.total)
		// 100% is for the end; a total that is raised takes nothing back.
		p.permille = max(p.permille, min(int64(float64(v.done)/float64(p.total)*1000), 999))
		v.permille = p.permille
		if v.rate > 0 {
			v.left = time.Duration(float64(p.total-v.done) / v.rate * float64(time.Second))
			v.leftOK = true
		}
	}
	return v
}

func perSecond(n int64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}
