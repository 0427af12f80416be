package audit

import (
	"net"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/tomlbound"
)

// answers are the prefixes of references that the nodes' answering registry is
// asked for first.
type answers struct {
	prefixes []string
	// shadows are prefixes of other mirrors; a longer one wins.
	shadows []string
}

// answered reads what the registries.conf of every pool in use sends to this
// node itself. A prefix counts where every pool has it.
func (s *Snapshot) answered() answers {
	var a answers
	for i, c := range s.inUse() {
		local := localPrefixes(c)
		if i == 0 {
			a.prefixes = local
			continue
		}
		a.prefixes = slices.DeleteFunc(a.prefixes, func(p string) bool { return !slices.Contains(local, p) })
	}
	for _, m := range s.Images.Mirrors {
		if m.Kind != "Route" {
			a.shadows = append(a.shadows, m.Source)
		}
	}
	return a
}

// localPrefixes returns the prefixes whose first mirror is on the node itself.
func localPrefixes(c Config) []string {
	var out []string
	for _, f := range c.Files {
		if !isRegistriesConf(f.Path) {
			continue
		}
		var v struct {
			Registry []struct {
				Prefix   string `toml:"prefix"`
				Location string `toml:"location"`
				Mirror   []struct {
					Location string `toml:"location"`
				} `toml:"mirror"`
			} `toml:"registry"`
		}
		if tomlbound.Unmarshal([]byte(f.Content), &v) != nil {
			continue
		}
		for _, r := range v.Registry {
			if len(r.Mirror) == 0 || !isLocal(r.Mirror[0].Location) {
				continue
			}
			if r.Prefix == "" {
				r.Prefix = r.Location
			}
			out = append(out, r.Prefix)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func isLocal(location string) bool {
	host, _, _ := strings.Cut(location, "/")
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// below reports whether name is prefix or lies below it.
func below(name, prefix string) bool {
	return name == prefix || strings.HasPrefix(name, prefix+"/")
}

// covers reports whether a pull of ref, a normalised reference, is answered.
func (a answers) covers(ref string) bool {
	name, _ := imagelist.Split(ref)
	repo := imagelist.Repository(name)
	longest := func(prefixes []string) int {
		n := 0
		for _, p := range prefixes {
			if below(repo, p) {
				n = max(n, len(p))
			}
		}
		return n
	}
	ours := longest(a.prefixes)
	return ours > 0 && ours >= longest(a.shadows)
}

// shadowedMirrors finds mirrors whose prefix is longer than that of the
// answering registry: it would never be asked.
func shadowedMirrors(s *Snapshot) []Finding {
	a := s.answered()
	if len(a.prefixes) == 0 {
		return nil
	}
	var out []Finding
	for _, m := range s.Images.Mirrors {
		if m.Kind == "Route" || slices.Contains(a.prefixes, m.Source) {
			continue
		}
		i := slices.IndexFunc(a.prefixes, func(p string) bool { return below(m.Source, p) })
		if i < 0 {
			continue
		}
		out = append(out, Finding{
			Rule: "mirror-shadows", Severity: Breaks, Object: m.Kind + " " + m.Object,
			What: "Its source " + m.Source + " is longer than " + a.prefixes[i] + ", which the answering registry has.",
			Why:  "In registries.conf the longest prefix wins: for these images the answering registry is never asked.",
			Mend: "Give the answering registry an entry with exactly this prefix: `nodeseal config` makes one for each source of a mirror.",
		})
	}
	return out
}

// goneMirrors finds mirrors that stay behind at the staging site.
func goneMirrors(s *Snapshot) []Finding {
	a := s.answered()
	var out []Finding
	for _, m := range s.Images.Mirrors {
		if m.Kind == "Route" {
			continue
		}
		f := Finding{
			Rule: "mirror-gone", Severity: Warning, Object: m.Kind + " " + m.Object,
			What: m.Source + " is read from " + strings.Join(m.Mirrors, ", ") + ".",
			Why:  "If that registry stays behind, each pull waits for it to time out, and then for the next one.",
			Mend: "Let `nodeseal serve` answer for this prefix first, or delete the object once the nodes hold every image (in one reboot with the rest).",
		}
		if m.NeverSource {
			f.What += " The source itself is never asked."
		}
		if a.covers(m.Source + "/x:x") {
			f.Severity = Note
			f.What += " The nodes' answering registry is asked first."
		}
		out = append(out, f)
	}
	return out
}
