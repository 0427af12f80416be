package imagelist

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Filter says which references of a list to keep. The zero value keeps all.
type Filter struct {
	include, exclude []pattern
}

// pattern is one pattern, as it was said, and what it matches.
type pattern struct {
	said string
	re   *regexp.Regexp
}

// NewFilter makes a filter that keeps what matches one of include, or
// everything where include is empty, and then drops what matches one of exclude.
// A pattern is compared with the reference, with its repository and with each
// further name; * stands for any characters, also slashes, ? for one. A pattern
// without a star also matches everything below it: quay.io/acme is
// quay.io/acme/*.
func NewFilter(include, exclude []string) (Filter, error) {
	var f Filter
	for _, p := range []struct {
		patterns []string
		into     *[]pattern
	}{{include, &f.include}, {exclude, &f.exclude}} {
		for _, pattern := range p.patterns {
			compiled, err := compile(pattern)
			if err != nil {
				return Filter{}, err
			}
			*p.into = append(*p.into, compiled)
		}
	}
	return f, nil
}

func compile(said string) (pattern, error) {
	if said == "" {
		return pattern{}, fmt.Errorf("pattern is empty")
	}
	text := regexp.QuoteMeta(said)
	text = strings.ReplaceAll(strings.ReplaceAll(text, `\*`, `.*`), `\?`, `.`)
	if !strings.ContainsAny(said, "*?") {
		text += `(?:[/:@].*)?`
	}
	re, err := regexp.Compile(`^` + text + `$`)
	if err != nil {
		return pattern{}, fmt.Errorf("pattern %q: %w", said, err)
	}
	return pattern{said, re}, nil
}

// Keeps reports whether the filter keeps e.
func (f Filter) Keeps(e Entry) bool {
	return (len(f.include) == 0 || matches(f.include, e)) && !matches(f.exclude, e)
}

// Apply removes from l what the filter drops, and returns how many those were.
func (f Filter) Apply(l *List) int {
	dropped := 0
	for ref, it := range l.entries {
		if !f.Keeps(it.entry()) {
			l.remove(ref)
			dropped++
		}
	}
	return dropped
}

// Unmatched returns the patterns, as they were said, that match none of entries.
func (f Filter) Unmatched(entries []Entry) []string {
	return append(unmatched(f.include, entries), unmatched(f.exclude, entries)...)
}

func unmatched(patterns []pattern, entries []Entry) []string {
	var out []string
	for _, p := range patterns {
		if !slices.ContainsFunc(entries, func(e Entry) bool { return matches([]pattern{p}, e) }) {
			out = append(out, p.said)
		}
	}
	return out
}

func matches(patterns []pattern, e Entry) bool {
	name, _ := Split(e.Ref)
	for _, p := range patterns {
		if p.re.MatchString(e.Ref) || p.re.MatchString(Repository(name)) {
			return true
		}
		for _, n := range e.Names {
			if p.re.MatchString(n) {
				return true
			}
		}
	}
	return false
}
