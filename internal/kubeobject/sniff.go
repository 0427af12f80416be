package kubeobject

import (
	"bytes"
	"strings"
)

// Form is what a file looks like from its beginning.
type Form int

// The forms that Sniff tells apart.
const (
	// Plain is neither of the others: a list of references, one a line.
	Plain Form = iota
	// JSON begins with a brace or a bracket.
	JSON
	// YAML begins with a key that every Kubernetes object has, or with ---.
	YAML
)

// sniffLen is how much of a file Sniff wants to see, in bytes; less is enough
// where the file is shorter.
const sniffLen = 4096

// Sniff says what form the file has that begins with head.
func Sniff(head []byte) Form {
	head = bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))
	for line := range strings.Lines(string(head)) {
		isMark, _ := DocumentMark([]byte(line))
		line = strings.TrimRight(strings.TrimPrefix(line, "- "), " \t\r\n")
		trimmed := strings.TrimLeft(line, " \t")
		switch {
		case trimmed == "" || strings.HasPrefix(trimmed, "#"):
			continue
		case trimmed[0] == '{' || trimmed[0] == '[':
			return JSON
		case isMark || strings.HasPrefix(line, "%YAML"):
			return YAML
		}
		for _, key := range []string{"apiVersion", "kind", "items", "metadata"} {
			if rest, ok := strings.CutPrefix(trimmed, key+":"); ok && (rest == "" || rest[0] == ' ') {
				return YAML
			}
		}
		return Plain
	}
	return Plain
}
