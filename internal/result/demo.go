package result

import (
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/nodeseal/nodeseal/internal/demo"
)

// Demo prints the steps as they come, and is the result in the end.
type Demo struct {
	Dir    string     `json:"dir,omitempty"`
	Sealed bool       `json:"sealed"`
	Steps  []DemoStep `json:"steps"`

	w       io.Writer
	now     func() time.Time
	started time.Time
}

// NewDemo is of a demo in the directory keep, "" for one that is removed again. Its
// steps are written to w as they come; nil leaves that out.
func NewDemo(keep string, sealed bool, w io.Writer, now func() time.Time) *Demo {
	return &Demo{Dir: keep, Sealed: sealed, w: w, now: now}
}

// DemoStep is one step: what came out, or why it was left out.
type DemoStep struct {
	Title   string  `json:"title"`
	Detail  string  `json:"detail,omitempty"`
	Skipped string  `json:"skipped,omitempty"`
	Seconds float64 `json:"seconds"`
}

// Begin implements demo.Reporter.
func (r *Demo) Begin(title string) {
	r.Steps = append(r.Steps, DemoStep{Title: title})
	r.started = r.now()
	r.print("%d. %s\n", len(r.Steps), title)
}

// Done implements demo.Reporter.
func (r *Demo) Done(detail string) {
	s := r.end()
	s.Detail = detail
	r.print("   ok    %5.2fs  %s\n", s.Seconds, detail)
}

// Skip implements demo.Reporter.
func (r *Demo) Skip(reason string) {
	s := r.end()
	s.Skipped = reason
	r.print("   skip  %5.2fs  %s\n", s.Seconds, reason)
	r.Sealed = false
}

func (r *Demo) end() *DemoStep {
	s := &r.Steps[len(r.Steps)-1]
	s.Seconds = r.now().Sub(r.started).Seconds()
	return s
}

func (r *Demo) print(format string, args ...any) {
	if r.w != nil {
		fmt.Fprintf(r.w, format, args...)
	}
}

// WriteText shows it to people.
func (r *Demo) WriteText(w io.Writer) error {
	p := &printer{w: w}
	p.line("")
	if r.Dir == "" {
		p.line("Everything was removed again. What to try next:")
		p.line("  nodeseal demo --dir demo        keep it all, and look at it:")
		p.line("  nodeseal inspect demo/%s", demo.BundleFile)
	} else {
		p.line("What to try next:")
		p.line("  nodeseal inspect %s", filepath.Join(r.Dir, demo.BundleFile))
		p.line("  tar --zstd -tf %s        it is an OCI image layout", filepath.Join(r.Dir, demo.BundleFile))
	}
	if r.Dir != "" && r.Sealed {
		p.line("  rm -rf %s        removes nothing: it is sealed", filepath.Join(r.Dir, demo.StoreDir))
		p.line("  nodeseal unseal %s && rm -rf %s", filepath.Join(r.Dir, demo.StoreDir), r.Dir)
	}
	p.line("  nodeseal bundle --help          with your own list of images")
	return p.err
}
