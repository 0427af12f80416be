package result

import (
	"io"
	"strings"
	"time"

	"github.com/nodeseal/nodeseal/internal/nodestatus"
	"github.com/nodeseal/nodeseal/internal/ui"
)

// few bounds lines of one kind.
const few = 10

// Status is what status prints.
type Status struct {
	*nodestatus.Status
	// Metrics prints OpenMetrics text in the place of the text for people.
	Metrics bool `json:"-"`
	// Asked says that the cluster was, too.
	Asked bool `json:"-"`
}

// WriteText shows it to people.
func (r Status) WriteText(w io.Writer) error {
	if r.Metrics {
		return r.WriteMetrics(w)
	}
	p := &printer{w: w}
	for i := range r.Slots {
		writeSlot(p, &r.Slots[i], r.Asked)
	}
	for i := range r.Readers {
		writeReader(p, &r.Readers[i], len(r.Readers) > 1)
	}
	r.Disk.Lines(p.line, ui.Bytes)
	if r.FIPS != nil && r.FIPS.Program {
		p.line("FIPS mode: the node's, and this program's (Go's module %s)", r.FIPS.Module)
	}
	p.line("CRI-O and podman find %d of %s", r.Visible, Plural(r.References, "reference"))
	for _, u := range r.Unseen[:min(few, len(r.Unseen))] {
		p.line("UNSEEN   %s: %s", u.What, u.Message)
	}
	if len(r.Unseen) > few {
		p.line("UNSEEN   and %d more, which --json names", len(r.Unseen)-few)
	}
	for _, ref := range r.Missing {
		p.line("MISSING  %s", ref)
	}
	for _, x := range r.Warnings {
		p.line("WARNING  %s: %s", x.What, x.Message)
	}
	for _, x := range r.Problems {
		p.line("PROBLEM  %s: %s", x.What, x.Message)
	}
	switch {
	case !r.RebootOK():
		p.line("NOT OK: a reboot with no registry would fail")
	case len(r.Missing) > 0:
		p.line("NOT OK: %s missing", Plural(len(r.Missing), "reference"))
	case r.References == 0:
		p.line("OK, but empty: no slot holds an image; nodeseal import BUNDLE fills one")
	default:
		p.line("OK: a reboot needs no registry")
	}
	return p.err
}

// writeReader says what programs take, and which if they differ.
func writeReader(p *printer, r *nodestatus.Reader, named bool) {
	conf, whose := "no storage.conf", ""
	if len(r.Files) > 0 {
		conf = strings.Join(r.Files, ", ")
	}
	if named {
		whose = " (" + r.Program + ")"
	}
	p.block("%s%s: %s, graph root %s", conf, whose, Plural(len(r.Stores), "additional store"), r.GraphRoot)
}

func writeSlot(p *printer, s *nodestatus.Slot, asked bool) {
	state := "not sealed"
	switch {
	case s.Immutable && s.Mounted:
		state = "sealed"
	case s.Immutable:
		state = "immutable, not mounted read-only"
	case s.Mounted:
		state = "mounted read-only, not immutable"
	}
	p.block("slot %s: %s, %s (%s)", s.Name, s.Release, state, s.Path)
	if s.Images == 0 && s.Artifacts == 0 {
		return
	}
	p.line("  %s, %s, %s", Plural(s.Images, "image"), Plural(s.References, "reference"), Plural(s.Layers, "layer"))
	if s.Artifacts > 0 {
		p.line("  %s", Plural(s.Artifacts, "OCI artifact"))
	}
	if s.Originals > 0 {
		p.line("  %s kept as a registry has them, %s", Plural(s.Originals, "layer"), ui.Bytes(s.OriginalBytes))
	}
	if s.Image != "" {
		writeImage(p, s)
	}
	if s.Verified.IsZero() {
		p.line("  never verified here")
	} else {
		p.line("  verified %s ago", (time.Duration(s.VerifiedAge) * time.Second).Truncate(time.Minute))
	}
	switch {
	case len(s.Uses) > 0:
	case asked:
		p.line("  neither this node nor the cluster needs it: retire --cluster would empty it")
		return
	default:
		p.line("  nothing on this node needs it: retire would empty it")
		return
	}
	p.line("  retire would refuse, it is needed by %s:", Plural(len(s.Uses), "thing"))
	for _, u := range s.Uses[:min(few, len(s.Uses))] {
		p.block("    %s", u)
	}
	if len(s.Uses) > few {
		p.line("    and %d more, which --json names", len(s.Uses)-few)
	}
}

// writeImage says how the image of a slot stands.
func writeImage(p *printer, s *nodestatus.Slot) {
	how := "not mounted"
	switch {
	case strings.HasPrefix(s.Source, "/dev/"):
		how = "mounted by " + s.Source
	case s.Source != "":
		how = "mounted from the file"
	}
	recorded := "no digest recorded"
	if s.Digest != "" {
		recorded = s.Digest.String()
	}
	p.block("  %s, %s", s.Image, how)
	p.line("  %s", recorded)
}
