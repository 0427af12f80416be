package imagelist

import (
	"fmt"
	"regexp"
	"strings"
)

// Filter says which references of a list to keep. The zero value keeps all.
type Filter struct {
	include, exclude []*regexp.Regexp
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
		into     *[]*regexp.Regexp
	}{{include, &f.include}, {exclude, &f.exclude}} {
		for _, pattern := range p.patterns {
			re, err := compile(pattern)
			if err != nil {
				return Filter{}, err
			}
			*p.into = append(*p.into, re)
		}
	}
	return f, nil
}

func compile(pattern string) (*regexp.Regexp, error) {
	if pattern == "" {
		return nil, fmt.Errorf("pattern is empty")
	}
	text := regexp.QuoteMeta(pattern)
	text = strings.ReplaceAll(strings.ReplaceAll(text, `\*`, `.*`), `\?`, `.`)
	if !strings.ContainsAny(pattern, "*?") {
		text += `(?:[/:@].*)?`
	}
	re, err := regexp.Compile(`^` + text + `$`)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	return re, nil
}

// Keeps reports whether the filter keeps e.
func (f Filter) Keeps(e Entry) bool {
	return (len(f.include) == 0 || matches(f.include, e)) && !matches(f.exclude, e)
}

// Apply removes from l what the filter drops, and returns how many those were.
func (f Filter) Apply(l *List) int {
	dropped := 0
	for ref, it := range l.entries {
		if !f.Keeps(it.Entry) {
			delete(l.entries, ref)
			dropped++
		}
	}
	return dropped
}

func matches(patterns []*regexp.Regexp, e Entry) bool {
	name, _ := Split(e.Ref)
	for _, re := range patterns {
		if re.MatchString(e.Ref) || re.MatchString(Repository(name)) {
			return true
		}
		for _, n := range e.Names {
			if re.MatchString(n) {
				return true
			}
		}
	}
	return false
}
