package catalog

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/Masterminds/semver/v3"
)

// Want says which bundles of a catalog are wanted.
type Want struct {
	// Full wants all bundles of the channels, else their heads where no versions are named.
	Full bool
	// Packages are those that are wanted; none means all.
	Packages []Package
}

// Package is a package that is wanted.
type Package struct {
	Name string
	Range
	// Channels are those that are wanted; none means all.
	Channels []Channel
	// Bundles are the names of those that are wanted, and of no others.
	Bundles []string
}

// Channel is a channel that is wanted.
type Channel struct {
	Name string
	Range
}

// Range bounds versions; "" is no bound.
type Range struct{ Min, Max string }

func (r Range) given() bool { return r != Range{} }

// Bundle is a bundle that was chosen.
type Bundle struct {
	Package, Name string
	// Images are its own and those that it names, as the catalog writes them.
	Images []string
}

// Wants reports whether a package is wanted.
func (w Want) Wants(name string) bool {
	return len(w.Packages) == 0 || slices.ContainsFunc(w.Packages, func(p Package) bool { return p.Name == name })
}

// Select returns the bundles that are wanted, sorted, and says of each package and channel of which there
// is none why.
func (c *Catalog) Select(w Want) ([]Bundle, []error) {
	packages := w.Packages
	if len(packages) == 0 {
		for _, name := range slices.Sorted(maps.Keys(c.packages)) {
			packages = append(packages, Package{Name: name})
		}
	}
	names := make(map[string]map[string]bool) // of bundles, by package
	problems := slices.Clone(c.lost)
	for _, p := range packages {
		all, ok := c.packages[p.Name]
		if !ok {
			problems = append(problems, fmt.Errorf("operator %s is not in the catalog", p.Name))
			continue
		}
		if names[p.Name] == nil {
			names[p.Name] = make(map[string]bool)
		}
		for _, err := range all.choose(p, w.Full, names[p.Name]) {
			problems = append(problems, fmt.Errorf("operator %s: %w", p.Name, err))
		}
	}
	var out []Bundle
	for _, name := range slices.Sorted(maps.Keys(names)) {
		for _, bundle := range slices.Sorted(maps.Keys(names[name])) {
			b, ok := c.packages[name].bundles[bundle]
			if !ok {
				problems = append(problems, fmt.Errorf("operator %s: its channels name the bundle %s, which the catalog lacks", name, bundle))
				continue
			}
			out = append(out, Bundle{Package: name, Name: bundle, Images: b.images})
		}
	}
	return out, problems
}

// choose puts the names of the wanted bundles of a package into names.
func (c *contents) choose(p Package, full bool, names map[string]bool) (problems []error) {
	for _, name := range p.Bundles {
		names[name] = true
	}
	if len(p.Bundles) > 0 {
		return nil
	}
	channels, some := p.Channels, false
	if len(channels) == 0 {
		for _, name := range slices.Sorted(maps.Keys(c.channels)) {
			channels = append(channels, Channel{Name: name})
		}
	}
	for _, ch := range channels {
		entries, ok := c.channels[ch.Name]
		if !ok {
			problems = append(problems, fmt.Errorf("it has no channel %s; it has %s", ch.Name, c.channelNames()))
			continue
		}
		versions := ch.Range
		if !versions.given() {
			versions = p.Range
		}
		chosen, err := c.ofChannel(entries, versions, full)
		if err != nil {
			problems = append(problems, fmt.Errorf("channel %s: %w", ch.Name, err))
			continue
		}
		switch {
		case len(chosen) > 0:
		case !versions.given():
			problems = append(problems, fmt.Errorf("channel %s is empty", ch.Name))
		case len(p.Channels) > 0:
			problems = append(problems, fmt.Errorf("channel %s has no version %s", ch.Name, versions))
		}
		for _, name := range chosen {
			names[name], some = true, true
		}
	}
	if !some && len(problems) == 0 {
		problems = append(problems, fmt.Errorf("none of its channels has a version %s", p.Range))
	}
	return problems
}

// maxNamed bounds how many channels an error names.
const maxNamed = 20

func (c *contents) channelNames() string {
	all := slices.Sorted(maps.Keys(c.channels))
	return fmt.Sprintf("%q", all[:min(len(all), maxNamed)])
}

// String is the range in words.
func (r Range) String() string {
	switch {
	case r.Min == r.Max:
		return r.Min
	case r.Max == "":
		return "from " + r.Min + " on"
	case r.Min == "":
		return "up to " + r.Max
	}
	return "from " + r.Min + " to " + r.Max
}

func (c *contents) ofChannel(entries []entry, versions Range, full bool) ([]string, error) {
	switch {
	case full:
		all := make([]string, 0, len(entries))
		for _, e := range entries {
			all = append(all, e.Name)
		}
		return all, nil
	case versions.given() && versions.Min == versions.Max:
		return c.exactly(entries, versions.Min), nil
	}
	head, err := headOf(entries)
	if err != nil || !versions.given() {
		return []string{head}, err
	}
	constraint, err := versions.constraint()
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		b, ok := c.bundles[e.Name]
		if _, err := semver.NewVersion(b.version); ok && err != nil {
			return nil, fmt.Errorf("%w: bundle %s has the version %q, which is in no range: %w", ErrCatalog, e.Name, b.version, err)
		}
	}
	return c.between(head, entries, constraint), nil
}

func (r Range) constraint() (*semver.Constraints, error) {
	text := ""
	if r.Min != "" {
		text = ">=" + r.Min
	}
	if r.Max != "" {
		text += " <=" + r.Max
	}
	constraint, err := semver.NewConstraint(text)
	if err != nil {
		return nil, fmt.Errorf("versions %s: %w", r, err)
	}
	constraint.IncludePrerelease = true // 4.16.0-202404010000 is how Red Hat numbers builds
	return constraint, nil
}

// exactly returns the entries of one version.
func (c *contents) exactly(entries []entry, version string) (names []string) {
	want, err := semver.NewVersion(version)
	for _, e := range entries {
		have := c.bundles[e.Name].version
		v, verr := semver.NewVersion(have)
		if have == version || err == nil && verr == nil && v.Equal(want) && v.Metadata() == want.Metadata() {
			names = append(names, e.Name)
		}
	}
	return names
}

// headOf returns the one entry of a channel that no other replaces or skips.
func headOf(entries []entry) (string, error) {
	below := make(map[string]bool)
	for _, e := range entries {
		for _, name := range append([]string{e.Replaces}, e.Skips...) {
			if name != e.Name {
				below[name] = true
			}
		}
	}
	var heads []string
	for _, e := range entries {
		if !below[e.Name] && !slices.Contains(heads, e.Name) {
			if heads = append(heads, e.Name); len(heads) == 2 {
				return "", fmt.Errorf("%w: no entry replaces %s or %s", ErrCatalog, heads[0], heads[1])
			}
		}
	}
	if len(heads) == 0 {
		return "", fmt.Errorf("%w: %w", ErrCatalog, errNoHead)
	}
	return heads[0], nil
}

var errNoHead = errors.New("each of its entries is replaced by another")

// between returns what is in a range, and what lies between on the channel's way of updates, as a cluster goes it.
func (c *contents) between(head string, entries []entry, versions *semver.Constraints) (names []string) {
	byName := make(map[string]entry, len(entries))
	for _, e := range entries {
		byName[e.Name] = e
	}
	in := func(name string) bool {
		v, err := semver.NewVersion(c.bundles[name].version)
		return err == nil && versions.Check(v)
	}
	var way []entry // from the head down
	for name, seen := head, make(map[string]bool); name != "" && !seen[name]; name = byName[name].Replaces {
		seen[name] = true
		e := byName[name]
		e.Name = name
		way = append(way, e)
	}
	first, last := -1, -1
	counted := make(map[string]bool) // to the lowest that has it
	for i, e := range slices.Backward(way) {
		for _, name := range append([]string{e.Name}, e.Skips...) {
			if counted[name] || !in(name) {
				continue
			}
			counted[name] = true
			if first = i; last < 0 {
				last = i
			}
		}
	}
	if first < 0 {
		return nil
	}
	for _, e := range way[first : last+1] {
		if _, ok := c.bundles[e.Name]; ok {
			names = append(names, e.Name)
		}
		for _, skipped := range e.Skips {
			if in(skipped) {
				names = append(names, skipped)
			}
		}
	}
	return names
}

// Later reports whether version a comes after b. Of what is no version nothing is later.
func Later(a, b string) bool {
	va, err := semver.NewVersion(a)
	if err != nil {
		return false
	}
	vb, err := semver.NewVersion(b)
	return err == nil && va.GreaterThan(vb)
}
