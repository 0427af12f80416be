package result

import (
	"fmt"
	"strings"

	"github.com/nodeseal/nodeseal/internal/installneeds"
	"github.com/nodeseal/nodeseal/internal/visible"
)

// Install is what an installation from the bundle would miss.
type Install struct {
	// Release is the version, Image the release image, Flavor agent, upi or sno.
	Release string `json:"release"`
	Image   string `json:"image"`
	Flavor  string `json:"flavor"`
	// Error says why the bundle does not tell what an installation would miss.
	Error string `json:"error,omitempty"`
	installneeds.Report
}

// InstallError is the Install of a bundle that does not tell.
func InstallError(flavor string, err error) *Install {
	return &Install{Flavor: flavor, Error: err.Error(), Report: installneeds.Report{Missing: []installneeds.Missing{}}}
}

// ok reports whether an installation finds all that it asks for.
func (i *Install) ok() bool { return i == nil || i.Error == "" && len(i.Missing) == 0 }

// fault says what is wrong, in a few words.
func (i *Install) fault() string {
	if i.Error != "" {
		return "what an installation asks for is not known"
	}
	return "an installation would end without what is missing"
}

// lines shows it to people.
func (i *Install) lines(p *printer) {
	if i.Error != "" {
		p.line("INSTALL  what an installation would miss is not known: %s", visible.Line(i.Error))
		return
	}
	var again, keep []string
	for _, m := range i.Missing {
		word := "MISSING "
		if m.What == installneeds.MissingOriginals {
			word, keep = "NO BYTES", append(keep, "--keep-original "+m.Ref)
		} else {
			again = append(again, m.Component)
		}
		on := ""
		if len(i.Platforms) > 1 {
			on = "  for " + visible.Line(m.Platform)
		}
		p.line("%s %s  %s%s", word, visible.Line(m.Component), visible.Line(m.Ref), on)
		for _, who := range m.AskedBy {
			p.line("         asked for by %s", who)
		}
	}
	what := fmt.Sprintf("an installation of %s (%s) with platform %s", visible.Line(i.Release), i.Flavor, strings.Join(i.ClusterPlatforms, " or "))
	if len(i.Platforms) > 1 {
		what += " on machines of " + visible.Line(strings.Join(i.Platforms, ", "))
	}
	if n := len(i.OtherPlatforms); n > 0 {
		p.line("LEFT OUT %s that other platforms ask for: %s", Plural(n, "image"), visible.Line(strings.Join(i.OtherPlatforms, ", ")))
	}
	if len(i.Missing) == 0 {
		p.line("INSTALL  %s finds all of its %s here", what, Plural(i.Needed, "image"))
		if len(i.OtherPlatforms) > 0 {
			p.line("  -> on a platform whose images are left out it would not: bundle the whole release for that, without --exclude")
		}
		return
	}
	p.line("INSTALL  %s asks for %s, and would not get %d of them", what, Plural(i.Needed, "image"), len(again)+len(keep))
	if len(again) > 0 {
		p.line("  -> bundle the whole release, without --exclude: nodeseal bundle --release %s -o NAME.tar.zst", visible.ShellWord(i.Image))
	}
	if len(keep) > 0 {
		p.line("  -> NO BYTES: the image is here, but not its layers as a registry has them. Bundle again with")
		p.line("     %s", strings.Join(keep, " "))
	}
}
