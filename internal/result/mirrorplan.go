package result

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/nodeseal/nodeseal/internal/mirror"
	"github.com/nodeseal/nodeseal/internal/mirror/plan"
	"github.com/nodeseal/nodeseal/internal/ui"
)

// PlanLine is what a real run says before it moves the first layer.
func PlanLine(p *plan.Plan) string {
	line := fmt.Sprintf("%s, %s of %s; %s to download", Plural(len(p.Images), "image"),
		Plural(p.Layers, "layer"), ui.Bytes(p.LayerBytes), ui.Bytes(p.Download))
	if p.BaseLayers > 0 {
		line += fmt.Sprintf("; %d of the layers, %s, are left to the base", p.BaseLayers, ui.Bytes(p.BaseBytes))
	}
	if p.Attachments > 0 {
		line += "; " + Plural(p.Attachments, "attachment")
	}
	for _, d := range p.Disks {
		line += fmt.Sprintf("; the %s may take %s of the %s free in %s", d.For, ui.Bytes(d.Need), ui.Bytes(d.Free), d.Path)
	}
	return line
}

// MirrorPlan is what bundle --dry-run prints. Sizes are in bytes.
type MirrorPlan struct {
	Output string `json:"output"`
	Work   string `json:"work"`
	*plan.Plan
	// Attached is nil with --no-attachments.
	Attached *Attached     `json:"attached,omitempty"`
	Failed   []FailedImage `json:"failed"`
}

// NewMirrorPlan describes what a dry run found.
func NewMirrorPlan(o mirror.Options, e *mirror.Estimated) MirrorPlan {
	return MirrorPlan{
		Output: o.Output, Work: o.Work, Plan: e.Plan, Attached: NewAttached(o, e.Attached), Failed: NewFailed(e.Failed),
	}
}

// WriteText shows it to people.
func (r MirrorPlan) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	pt := &printer{w: t}
	pt.line("SIZE\tOWN\tTO DOWNLOAD\tLAYERS\t  IMAGE")
	for _, img := range r.Plan.Images {
		pt.line("%s\t%s\t%s\t%d\t  %s", ui.Bytes(img.Bytes), ui.Bytes(img.OwnBytes), ui.Bytes(img.Download), img.Layers, img.Ref)
	}
	pt.line("%s\t\t%s\t%d\t  in all: a layer of several images counts once", ui.Bytes(r.LayerBytes), ui.Bytes(r.Download), r.Layers)
	if pt.err == nil {
		pt.err = t.Flush()
	}
	p := &printer{w: w, err: pt.err}
	p.line("")
	p.line("%s, %s of %s, %s of it shared", Plural(len(r.Plan.Images), "image"), Plural(r.Layers, "layer"),
		ui.Bytes(r.LayerBytes), ui.Bytes(r.SharedBytes))
	if r.BaseLayers > 0 {
		p.line("%d of the layers, %s, are left to the base: neither downloaded nor in the bundle", r.BaseLayers, ui.Bytes(r.BaseBytes))
	}
	r.Attached.Line(p.line, len(r.Plan.Images))
	if r.Rate > 0 {
		p.line("to download: %s, in about %s at the %s/s just measured", ui.Bytes(r.Download),
			ui.Duration(time.Duration(r.Seconds)*time.Second), ui.Bytes(r.Rate))
	} else {
		p.line("to download: %s", ui.Bytes(r.Download))
	}
	if r.WithDeltas > 0 {
		p.line("%s: about %s with changed layers as deltas (estimated: contents are not compared yet), %s with --delta layers", r.Output, ui.Bytes(r.WithDeltas), ui.Bytes(r.Bundle))
	} else {
		p.line("%s: about %s", r.Output, ui.Bytes(r.Bundle))
	}
	for _, d := range r.Disks {
		p.line("the %s may take %s of the %s free in %s; nothing is copied beside that", d.For, ui.Bytes(d.Need), ui.Bytes(d.Free), d.Path)
	}
	p.line("on a node: about %s as a directory, at most %s as an image file", ui.Bytes(r.Node.Dir), ui.Bytes(r.Node.Image))
	r.Node.Disk.Lines(p.line, ui.Bytes)
	for _, l := range r.Levels {
		chosen := ""
		if l.Chosen {
			chosen = ": this run"
		}
		p.line("--level %d (%s): a bundle of about %s, the download in about %s%s", l.Level, l.Name, ui.Bytes(l.Bundle),
			ui.Duration(time.Duration(l.Seconds)*time.Second), chosen)
	}
	for _, f := range r.Failed {
		p.line("NOT to be had: %s: %s", f.Ref, f.Error)
	}
	return p.err
}
