package result

import (
	"crypto/fips140"
	"io"
	"runtime"
	"runtime/debug"
)

// Version is what version prints.
type Version struct {
	Version string `json:"version"`
	// Commit is what it was built from, "" if that is not known; Changed says that files
	// were changed since.
	Commit  string `json:"commit,omitempty"`
	Changed bool   `json:"changed,omitempty"`
	// Built is when the commit was made, Tags are the build tags.
	Built string `json:"built,omitempty"`
	Tags  string `json:"tags,omitempty"`
	Go    string `json:"go"`
	// Platform is OS/architecture.
	Platform string `json:"platform"`
	// FIPS says that Go's cryptography is in its FIPS 140-3 mode.
	FIPS bool `json:"fips"`
	// FIPSModule is the version of its module in that mode, "latest" for one that came with
	// this version of Go and has no certificate of its own.
	FIPSModule string `json:"fipsModule,omitempty"`
}

// NewVersion describes this program, which is of the given version.
func NewVersion(version string) Version {
	out := Version{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, FIPS: fips140.Enabled()}
	if out.FIPS {
		out.FIPSModule = fips140.Version()
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return out
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			out.Commit = s.Value
		case "vcs.time":
			out.Built = s.Value
		case "vcs.modified":
			out.Changed = s.Value == "true"
		case "-tags":
			out.Tags = s.Value
		}
	}
	return out
}

// WriteText shows it to people.
func (r Version) WriteText(w io.Writer) error {
	p := &printer{w: w}
	p.line("nodeseal %s, %s, %s", r.Version, r.Go, r.Platform)
	if r.Commit != "" {
		changed := ""
		if r.Changed {
			changed = ", with changes"
		}
		p.line("commit %s of %s%s", r.Commit, r.Built, changed)
	}
	if r.Tags != "" {
		p.line("tags %s", r.Tags)
	}
	if r.FIPS {
		p.line("FIPS 140-3 mode, Go's module %s", r.FIPSModule)
	}
	return p.err
}
