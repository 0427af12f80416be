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
	installneeds.Report
}

// lines shows it to people.
func (i *Install) lines(p *printer) {
	var again, keep []string
	for _, m := range i.Missing {
		word := "MISSING "
		if m.What == installneeds.MissingOriginals {
			word, keep = "NO BYTES", append(keep, "--keep-original "+m.Ref)
		} else {
			again = append(again, m.Component)
		}
		p.line("%s %s  %s", word, visible.Line(m.Component), visible.Line(m.Ref))
		for _, who := range m.AskedBy {
			p.line("         asked for by %s", who)
		}
	}
	if n := len(i.OtherPlatforms); n > 0 {
		p.line("LEFT OUT %s of other platforms: %s", Plural(n, "image"), visible.Line(strings.Join(i.OtherPlatforms, ", ")))
	}
	what := fmt.Sprintf("an installation of %s (%s)", visible.Line(i.Release), i.Flavor)
	if len(i.Missing) == 0 {
		p.line("INSTALL  %s finds all of its %s here", what, Plural(i.Needed, "image"))
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
