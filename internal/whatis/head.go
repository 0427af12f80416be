package whatis

import (
	"bytes"
	"regexp"
	"strings"
	"unicode/utf8"
)

// headLen is how much of a file says what it is, in bytes.
const headLen = 4096

// mark is the bytes at a place that tell binary files.
type mark struct {
	at    int
	bytes string
	kind  Kind
}

func marks() []mark {
	return []mark{
		{0, "\x28\xb5\x2f\xfd", Zstd},
		{1024, "\xe2\xe1\xf5\xe0", Image},
		{257, "ustar", Tar},
		{0, "\x1f\x8b", Gzip},
		{0, "\xfd7zXZ\x00", XZ},
		{0, "BZh", Bzip2},
		{0, "PK\x03\x04", Zip},
		{0, "\x7fELF", Program},
		{0, "QFI\xfb", Disk},
		{510, "\x55\xaa", Disk},
	}
}

// ofHead says what begins with head, "" if it is not known.
func ofHead(head []byte) Kind {
	if len(head) == 0 {
		return Empty
	}
	for _, m := range marks() {
		if len(head) >= m.at+len(m.bytes) && string(head[m.at:m.at+len(m.bytes)]) == m.bytes {
			return m.kind
		}
	}
	head = bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(head[:max(0, len(head)-utf8.UTFMax)]) || bytes.IndexByte(head, 0) >= 0 {
		return ""
	}
	return ofText(string(head))
}

var (
	reference = regexp.MustCompile(`^(docker://)?[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+(:[\w.-]+)?(@sha256:[0-9a-f]{64})?(\s+#.*)?$`)
	sum       = regexp.MustCompile(`^[0-9a-f]{64} [ *]\S`)
	key       = regexp.MustCompile(`^[A-Za-z][\w./-]*:(\s|$)`)
	base64    = regexp.MustCompile(`^[A-Za-z0-9+/]{86,}={0,2}$`)
)

// ofText says what a text is by its first line that says something.
func ofText(text string) Kind {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		trimmed := strings.TrimLeft(line, " \t")
		lower := strings.ToLower(trimmed)
		switch {
		case trimmed == "", strings.HasPrefix(trimmed, "#"):
			continue
		case strings.HasPrefix(lower, "<!doctype html"), strings.HasPrefix(lower, "<html"):
			return HTML
		case strings.HasPrefix(trimmed, "-----BEGIN ") && strings.Contains(trimmed, "PRIVATE KEY"):
			return PrivateKey
		case strings.HasPrefix(trimmed, "-----BEGIN PUBLIC KEY"):
			return PublicKey
		case strings.HasPrefix(trimmed, "-----BEGIN "):
			return PEM
		case trimmed[0] == '{', trimmed[0] == '[':
			return JSON
		case line == "---", key.MatchString(line):
			return YAML
		case sum.MatchString(line):
			return Sums
		case reference.MatchString(trimmed):
			return List
		case base64.MatchString(line):
			return Signature
		}
		return ""
	}
	return ""
}
