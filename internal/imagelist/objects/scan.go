package objects

import (
	"regexp"
	"strings"

	"github.com/nodeseal/nodeseal/internal/imagelist"
)

const (
	digestMark = "@sha256:"
	digestLen  = len(digestMark) + 64
	// maxName bounds how far before a digest a repository's name can begin.
	maxName = 512
)

// pinned matches what may be host/path[:tag]: a host is told from a path by a
// dot, a port or the name localhost.
var pinned = regexp.MustCompile(`^(?:localhost|[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)+|[a-zA-Z0-9-]+:[0-9]+)(?::[0-9]+)?/[^:]+(?::[^:/]+)?$`)

// Scan calls found for each host/repository[:tag]@sha256:… in text, in order.
// What stands before the host (a scheme, a key, a quote) is left out. A name
// without a host is not taken: in free text it may be anything.
func Scan(text string, found func(ref string)) {
	for pos := 0; ; {
		i := strings.Index(text[pos:], digestMark)
		if i < 0 {
			return
		}
		at := pos + i
		pos = at + len(digestMark)
		end := at + digestLen
		if end > len(text) {
			return
		}
		if !isHex(text[pos:end]) || (end < len(text) && isWord(text[end])) {
			continue
		}
		start := at
		for start > 0 && at-start < maxName && isName(text[start-1]) {
			start--
		}
		if name := trimName(text[start:at]); name != "" {
			found(name + text[at:end])
		}
		pos = end
	}
}

// trimName cuts from run, the characters before a digest that a name may have,
// what is not the name: a scheme, a key. It returns "" where no name is left.
func trimName(run string) string {
	if i := strings.LastIndex(run, "://"); i >= 0 {
		run = run[i+len("://"):]
	}
	for run != "" {
		run = strings.TrimLeft(run, "-._:/")
		if pinned.MatchString(run) {
			if _, err := imagelist.Normalize(run); err == nil {
				return run
			}
		}
		i := strings.IndexAny(run, ":/")
		if i < 0 {
			return ""
		}
		run = run[i+1:]
	}
	return ""
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
}

func isName(c byte) bool {
	return isWord(c) || c == '.' || c == '-' || c == '/' || c == ':'
}

// isTagged reports a reference by tag with a host, as it stands on a command
// line: host/repository:tag.
func isTagged(word string) bool {
	name := imagelist.Repository(word)
	if name == word || len(word) > maxName || !pinned.MatchString(word) {
		return false
	}
	_, err := imagelist.Normalize(word)
	return err == nil
}
