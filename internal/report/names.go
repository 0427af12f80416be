package report

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
)

// maxName is more than the name of a host may have, in bytes.
const maxName = 300

// aHost is the form of a host's name.
const aHost = `([A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9\-]+)*)`

// namesIn are the places where hosts and registries are named in text: the groups of each.
func namesIn() []*regexp.Regexp {
	const dotted = `([A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9\-]+)+)`
	form := regexp.MustCompile
	return []*regexp.Regexp{
		form(`[A-Za-z][A-Za-z0-9+.\-]*://(?:[^\s/"'@]*@)?` + aHost),
		form(`(?m)^\s*(?:location|prefix|registry)\s*=\s*["'](?:\*\.)?` + aHost),
		form(dotted + `(?::[0-9]+)?/[a-z0-9._/\-]+(?:@sha256:|:[A-Za-z0-9_])`),
		form(`(?m)^\d{4}-\d\d-\d\dT[0-9:.,+\-]+ ` + aHost + ` \S+?(?:\[\d+\])?:`), // a line of the journal
		form(`\blookup ` + aHost + `\b`),
		form(`\b(?:valid for|certificate for|not|wanted to match|CN=|DNS:|(?:node|host)(?:name)?[:=]) ?\\*["']?` + dotted),
		form(`"(?:node|nodes|nodeName|host|hostname|registry)"\s*:\s*(?:\[\s*)?"` + aHost),
		form(`(?m)(?:^|: )node ` + aHost + `:`), // a result of import-stick
	}
}

// listsOfNames are the forms of lists of names with commas: those of certificates.
func listsOfNames() *regexp.Regexp { return regexp.MustCompile(`valid for ([A-Za-z0-9*., \-]+), not `) }

// hidden are the names that are replaced, in small letters, by their first word; the longer one first.
type hidden struct {
	salt    []byte
	byWord  map[string][]string
	domains map[string]bool // what names below them end with
	used    map[string]bool
}

// hideNames replaces the names of hosts and registries, and addresses, in all members. A name that is seen at one place is
// replaced at all, in whatever case, and so are others of its domain.
func (r *Report) hideNames(salt []byte) {
	found := make(map[string]bool)
	for i := range r.Members {
		m := &r.Members[i]
		text := string(m.data) + "\n" + m.Problem
		for _, form := range namesIn() {
			for _, match := range form.FindAllStringSubmatch(text, -1) {
				found[strings.ToLower(match[1])] = true
			}
		}
		for _, match := range listsOfNames().FindAllStringSubmatch(text, -1) {
			for name := range strings.SplitSeq(match[1], ",") {
				found[strings.ToLower(strings.TrimPrefix(strings.TrimSpace(name), "*."))] = true
			}
		}
		for _, name := range m.named {
			found[strings.ToLower(name)] = true
		}
	}
	if name, err := os.Hostname(); err == nil {
		short, _, _ := strings.Cut(strings.ToLower(name), ".")
		found[strings.ToLower(name)], found[short] = true, true
	}
	h := newHidden(found, salt)
	for i := range r.Members {
		m := &r.Members[i]
		m.data = []byte(h.replace(string(m.data)))
		m.Problem, m.Name, m.What = h.replace(m.Problem), h.replace(m.Name), h.replace(m.What)
	}
	r.names, r.hidden = len(h.used), true
	r.made.From = nil
}

func newHidden(found map[string]bool, salt []byte) *hidden {
	h := &hidden{salt: salt, byWord: make(map[string][]string), domains: make(map[string]bool), used: make(map[string]bool)}
	for name := range found {
		if !isName(name) {
			continue
		}
		first := name[:wordEnd(name, 0)]
		h.byWord[first] = append(h.byWord[first], name)
		if _, domain, _ := strings.Cut(name, "."); strings.Contains(domain, ".") {
			h.domains["."+domain] = true
		}
	}
	for _, names := range h.byWord {
		slices.SortFunc(names, func(a, b string) int { return len(b) - len(a) })
	}
	return h
}

// isName reports whether a name is one to replace: this machine to itself is none, and a version, or a word of it, is none.
func isName(name string) bool {
	version := regexp.MustCompile(`^v?[0-9]+(?:\.[0-9]|$)`)
	return len(name) > 2 && wordEnd(name, 0) > 0 && !strings.HasPrefix(name, "localhost") && !strings.EqualFold(name, gone) && !version.MatchString(name)
}

func inWord(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' }

// wordEnd returns where the letters and digits end that begin at i.
func wordEnd(text string, i int) int {
	for i < len(text) && inWord(text[i]) {
		i++
	}
	return i
}

// digest stands in the place of a name.
func (h *hidden) digest(name string) string {
	h.used[name] = true
	sum := hmac.New(sha256.New, h.salt)
	sum.Write([]byte(name))
	return "name-" + hex.EncodeToString(sum.Sum(nil))[:10]
}

// replace replaces what is hidden where it is a word or several.
func (h *hidden) replace(text string) string {
	text = h.addresses(text)
	var b strings.Builder
	for i := 0; i < len(text); {
		end := wordEnd(text, i)
		if end == i {
			b.WriteByte(text[i])
			i++
			continue
		}
		if name := h.at(text[i:]); name != "" {
			b.WriteString(h.digest(name))
			i += len(name)
			continue
		}
		b.WriteString(text[i:end])
		i = end
	}
	return b.String()
}

// at returns the hidden name that text begins with, in small letters.
func (h *hidden) at(text string) string {
	end := 0
	for end < min(len(text), maxName) && (inWord(text[end]) || text[end] == '.' || text[end] == '-') {
		end++
	}
	long := strings.ToLower(strings.TrimRight(text[:end], ".-"))
	for i := range len(long) {
		if long[i] == '.' && h.domains[long[i:]] {
			return long
		}
	}
	for _, name := range h.byWord[long[:wordEnd(long, 0)]] {
		if strings.HasPrefix(long, name) && (len(name) == len(long) || !inWord(long[len(name)])) {
			return name
		}
	}
	return ""
}

// addresses replaces what is an address of IPv4 or IPv6; of what only looks like one, as times and versions, nothing.
func (h *hidden) addresses(text string) string {
	form := regexp.MustCompile(`[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*|[0-9]+(?:\.[0-9]+)+`)
	return form.ReplaceAllStringFunc(text, func(word string) string {
		bare := strings.TrimRight(word, ".")
		if strings.HasSuffix(bare, ":") && !strings.HasSuffix(bare, "::") {
			bare = bare[:len(bare)-1]
		}
		lead := ""
		if strings.HasPrefix(bare, ":") && !strings.HasPrefix(bare, "::") {
			lead, bare = ":", bare[1:]
		}
		addr, err := netip.ParseAddr(bare)
		if err != nil || addr.IsLoopback() || addr.IsUnspecified() {
			return word
		}
		return lead + h.digest(addr.String()) + word[len(lead)+len(bare):]
	})
}
