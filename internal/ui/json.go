package ui

import (
	"encoding/json"
	"io"
	"math"
	"time"

	"github.com/nodeseal/nodeseal/internal/progress"
)

// Line is what the JSON mode writes about a phase, one document a line. The
// fields are stable: new ones may be added, none changes its meaning.
type Line struct {
	// Time is when, in UTC.
	Time time.Time `json:"time"`
	// Event is "start", "progress", "finish", or "stop" for a phase that was
	// under way when the program ended.
	Event string `json:"event"`
	// Phase is the name of what goes on, as "download".
	Phase string `json:"phase"`
	// Unit is "bytes", "count", or "step" if nothing is counted.
	Unit progress.Unit `json:"unit"`
	// Done counts units; it never goes down and never exceeds a known Total.
	Done int64 `json:"done"`
	// Total counts units; 0 means that it is not known. It may be raised.
	Total int64 `json:"total"`
	// Percent is what is done, absent where Total is not known. It never goes
	// down; 100 comes with "finish" only.
	Percent *float64 `json:"percent,omitempty"`
	// Rate is units a second, to the tenth: lately, and with "finish" over the
	// whole phase.
	Rate float64 `json:"rate"`
	// SecondsLeft is absent where it is not known.
	SecondsLeft *int64 `json:"secondsLeft,omitempty"`
	// Seconds is how long the phase has taken.
	Seconds float64 `json:"seconds"`
	// Item is what the phase works on, as a reference or digest.
	Item string `json:"item,omitempty"`
}

// Message is what the JSON mode writes when something is said.
type Message struct {
	// Time is when, in UTC.
	Time time.Time `json:"time"`
	// Event is "note" or "warning".
	Event string `json:"event"`
	// Message is a sentence for people.
	Message string `json:"message"`
}

type jsonDrawer struct{ out *json.Encoder }

func newJSONDrawer(w io.Writer) jsonDrawer {
	d := jsonDrawer{json.NewEncoder(w)}
	d.out.SetEscapeHTML(false)
	return d
}

func (d jsonDrawer) event(e event) {
	switch e.kind {
	case progress.Start:
		d.line("start", e.at, e.view)
	case progress.Finish:
		d.line("finish", e.at, e.view)
	case progress.Note:
		d.write(Message{Time: stamp(e.at), Event: "note", Message: e.message})
	case progress.Warning:
		d.write(Message{Time: stamp(e.at), Event: "warning", Message: e.message})
	default: // the tracker sends no others
	}
}

func (d jsonDrawer) tick(views []view) {
	for _, v := range views {
		d.line("progress", time.Now(), v)
	}
}

func (d jsonDrawer) close(views []view) error {
	for _, v := range views {
		d.line("stop", time.Now(), v)
	}
	return nil
}

func (d jsonDrawer) line(event string, at time.Time, v view) {
	l := Line{
		Time: stamp(at), Event: event, Phase: v.name, Unit: v.unit, Done: v.done, Total: v.total,
		Rate: math.Round(v.rate*10) / 10, Seconds: v.took.Round(time.Millisecond).Seconds(), Item: v.item,
	}
	if v.permille >= 0 {
		percent := float64(v.permille) / 10
		l.Percent = &percent
	}
	if v.leftOK {
		left := int64(math.Round(v.left.Seconds()))
		l.SecondsLeft = &left
	}
	d.write(l)
}

// write leaves errors to the stickyWriter below, which keeps the first one.
func (d jsonDrawer) write(line any) { _ = d.out.Encode(line) }

func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
