package ui

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nodeseal/nodeseal/internal/progress"
)

// stepShown is how long a step takes at least that is worth a line.
const stepShown = time.Second

// plainDrawer writes lines that read well in a log:
//
//	download: 12%, 1.5 GiB of 12.3 GiB, 98.0 MiB/s, 1m50s left (quay.io/a@sha256:…)
//	download: 100%, 12.3 GiB in 2m5s, 98.0 MiB/s
type plainDrawer struct{ w io.Writer }

func (d plainDrawer) event(e event) {
	switch e.kind {
	case progress.Finish:
		v := e.view
		if v.unit == progress.Step && v.took < stepShown {
			return
		}
		fmt.Fprintf(d.w, "%s: %s\n", v.name, parts(v.percent(), strings.TrimSpace(v.amounts()+" in "+Duration(v.took)), v.speed()))
	case progress.Note, progress.Warning:
		fmt.Fprintln(d.w, e.text())
	default: // the next tick shows what began
	}
}

func (d plainDrawer) tick(views []view) {
	for _, v := range views {
		d.line(v)
	}
}

func (d plainDrawer) close(views []view) error {
	for _, v := range views {
		text := "stopped"
		if at := parts(v.percent(), v.amounts(), v.speed()); at != "" {
			text += " at " + at
		}
		fmt.Fprintf(d.w, "%s: %s\n", v.name, text)
	}
	return nil
}

func (d plainDrawer) line(v view) {
	item := cmp.Or(v.title, v.item)
	if item != "" {
		item = " (" + item + ")"
	}
	fmt.Fprintf(d.w, "%s: %s%s\n", v.name, parts(v.percent(), v.amounts(), v.speed(), v.remaining()), item)
}

// text is a message as a line for people.
func (e event) text() string {
	if e.kind == progress.Warning {
		return "warning: " + e.message
	}
	return e.message
}

// silentDrawer writes nothing.
type silentDrawer struct{}

func (silentDrawer) event(event) {}

func (silentDrawer) tick([]view) {}

func (silentDrawer) close([]view) error { return nil }

// quietDrawer writes warnings only.
type quietDrawer struct{ w io.Writer }

func (d quietDrawer) event(e event) {
	if e.kind == progress.Warning {
		fmt.Fprintln(d.w, e.text())
	}
}

func (quietDrawer) tick([]view) {}

func (quietDrawer) close([]view) error { return nil }
