package report

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
)

// namesIn are the places where hosts and registries are named: group 1 of each.
func namesIn() []*regexp.Regexp {
	const host = `([A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9\-]+)*)`
	const dotted = `([A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9\-]+)+)`
	form := regexp.MustCompile
	return []*regexp.Regexp{
		form(`[A-Za-z][A-Za-z0-9+.\-]*://(?:[^\s/"'@]*@)?` + host),
		form(`(?m)^\s*(?:location|prefix|registry)\s*=\s*"(?:\*\.)?` + host),
		form(dotted + `(?::[0-9]+)?/[a-z0-9._/\-]+(?:@sha256:|:[A-Za-z0-9_])`),
		form(`(?m)^\d{4}-\d\d-\d\dT[0-9:.,+\-]+ ` + host + ` \S+?(?:\[\d+\])?:`), // a line of the journal
		form(`\b((?:[0-9]{1,3}\.){3}[0-9]{1,3})\b`),
	}
}

// hideNames replaces the names of hosts and registries, and addresses, in all members. A name that is seen at one place is
// replaced at all.
func (r *Report) hideNames(salt []byte) {
	found := make(map[string]bool)
	for i := range r.Members {
		for _, form := range namesIn() {
			for _, m := range form.FindAllStringSubmatch(string(r.Members[i].data)+"\n"+r.Members[i].Problem, -1) {
				if name := m[1]; len(name) > 2 && name != "localhost" && !strings.HasPrefix(name, "127.") && name != gone {
					found[name] = true
				}
			}
		}
	}
	r.names = len(found)
	names := make([]string, 0, len(found))
	for name := range found {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { // the longer one first: it may have the other in it
		if d := len(b) - len(a); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	digests := make(map[string]string, len(names))
	var dotted []string
	for _, name := range names {
		sum := hmac.New(sha256.New, salt)
		sum.Write([]byte(name))
		digests[name] = "name-" + hex.EncodeToString(sum.Sum(nil))[:10]
		if strings.Contains(name, ".") {
			dotted = append(dotted, name, digests[name])
		}
	}
	// A name without a dot may be a part of other words: it goes where it is a word.
	word, within := regexp.MustCompile(`[A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?`), strings.NewReplacer(dotted...)
	replace := func(text string) string {
		return word.ReplaceAllStringFunc(within.Replace(text), func(w string) string {
			if d, ok := digests[w]; ok {
				return d
			}
			return w
		})
	}
	for i := range r.Members {
		r.Members[i].data = []byte(replace(string(r.Members[i].data)))
		r.Members[i].Problem = replace(r.Members[i].Problem)
		r.Members[i].Name, r.Members[i].What = replace(r.Members[i].Name), replace(r.Members[i].What)
	}
	r.made.From = nil
}
