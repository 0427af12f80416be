package report

import (
	"regexp"
	"slices"
	"strings"
)

// gone stands in the place of what was taken out.
const gone = "REDACTED"

// rule is one form of secrets. Of a match, group 1 stays and the rest goes, if keep does not say otherwise.
type rule struct {
	form *regexp.Regexp
	// words are some of which a text has to have, in small letters, for form to match in it: to look for them takes less.
	words []string
	keep  func(match, head string) bool
}

const (
	// secretKey is a name whose value is secret, as of a field, a setting, or a variable.
	secretKey = `[A-Za-z0-9_.\-]*(?:passw|passphrase|passwd|secret|token|credential|api[_\-]?key|access[_\-]?key|private[_\-]?key|dockercfg|dockerconfig|cookie|session[_\-]?(?:id|key))[A-Za-z0-9_.\-]*` +
		`|(?:[A-Za-z0-9_.\-]*[_.\-])?(?:auths?|pass|pwd|psk|creds?)`
	// valueBehind is what stands behind it: strings over several lines, lists, blocks of YAML, quoted text, or the rest of
	// the line.
	valueBehind = `(?:"""(?s:.*?)(?:"""|\z)|'''(?s:.*?)(?:'''|\z)|\[[^\]]*(?:\]|\z)|[|>][+\-0-9]*[ \t]*(?:\n[ \t]+[^\n]*)+|\\"(?:\\[^"]|[^"\\])*\\"|"(?:\\.|[^"\\])*"|'[^']*'|[^\s{\[][^\n]*)`
)

// rules are all forms, in the order in which they are looked for.
func rules() []rule {
	form := regexp.MustCompile
	return []rule{
		{form: form(`(-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----)(?s:.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)`), words: []string{"private key"}},
		{form: form(`(default_env\s*=\s*\[)[^\]]*`), words: []string{"default_env"}},
		{form: form(`((?m:^)\s*Environment=)(?:[^\n\\]|\\(?s:.))*`), keep: proxies, words: []string{"environment="}},
		{form: form(`((?i:\b(?:proxy-)?authorization|\b(?:set-)?cookie|\bx-[a-z\-]*(?:token|key|auth))["']?\s*[:=]\s*)[^\n]*`), words: []string{"auth", "cookie", "token", "key"}},
		{form: form(`((?i:"?\b(?:` + secretKey + `))\\?["']?\]?[ \t]*(?:=>|[:=])\s*)` + valueBehind), keep: file, words: keyWords()},
		{form: form(`((?i:--?(?:[a-z\-]*(?:password|passphrase|token|secret|creds)))[= ]\s*)("[^"]*"|'[^']*'|\S+)`), words: []string{"password", "passphrase", "token", "secret", "creds"}},
		{form: form(`(\s-u\s+)[^\s:]+:\S+`), words: []string{"-u"}},
		{form: form(`(\blogin\s)[^\n]*`), words: []string{"login"}},
		{form: form(`([A-Za-z][A-Za-z0-9+.\-]*://)[^\s/"'<>]+@`), words: []string{"://"}},
		{form: form(`((?i:\b(?:bearer|basic))\s+)[A-Za-z0-9._~+/=\-]{6,}`), keep: prose, words: []string{"bearer", "basic"}},
		{form: form(`()\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]+(?:\.[A-Za-z0-9_\-]*)?`), words: []string{"eyj"}},
		{form: form(`()\b(?:gh[pousr]_|github_pat_|glpat-|sha256~|AKIA|ASIA|xox[abprs]-|dckr_pat_|hf_)[A-Za-z0-9_~\-]{10,}`)},
		{form: form(`()\$(?:1|2[abxy]?|5|6|7|y|gy)\$[^\s:"']+`), words: []string{"$"}},
		{form: form(`()[A-Za-z0-9+/_\-]{40,}={0,2}`), keep: noSecret},
	}
}

// keyWords are in each name that secretKey matches.
func keyWords() []string {
	return []string{"pass", "secret", "token", "credential", "key", "dockercfg", "dockerconfig", "cookie", "session", "auth", "pwd", "psk", "cred"}
}

// redact takes out of text what has the form of a secret, and returns how many it took.
func redact(text string) (clean string, n int) {
	small := strings.ToLower(text)
	for _, r := range rules() {
		if len(r.words) > 0 && !slices.ContainsFunc(r.words, func(w string) bool { return strings.Contains(small, w) }) {
			continue
		}
		text = r.form.ReplaceAllStringFunc(text, func(match string) string {
			head := r.form.FindStringSubmatch(match)
			if head == nil {
				head = []string{match, ""}
			}
			if r.keep != nil && r.keep(match, head[1]) || strings.TrimSuffix(match[len(head[1]):], "@") == gone {
				return match
			}
			n++
			if strings.HasSuffix(match, "@") && strings.HasSuffix(head[1], "://") {
				return head[1] + gone + "@"
			}
			return head[1] + gone
		})
	}
	return text, n
}

// file keeps the paths of files: where a secret lies is none.
func file(match, head string) bool {
	name := strings.TrimRight(strings.ToLower(head), " \t\n\"'=:>")
	value := strings.Trim(match[len(head):], " \t\"'")
	return (strings.HasSuffix(name, "file") || strings.HasSuffix(name, "path") || strings.HasSuffix(name, "dir")) && (value == "" || strings.HasPrefix(value, "/"))
}

// proxies keeps variables that say no more than which proxy is used; a password in its address goes by another form.
func proxies(match, head string) bool {
	name, _, _ := strings.Cut(strings.Trim(match[len(head):], `"'`), "=")
	return strings.HasSuffix(strings.ToUpper(name), "_PROXY") && !strings.ContainsAny(match[len(head):], " \t\\")
}

// prose keeps sentences: "basic authentication", "bearer token".
func prose(match, head string) bool {
	word := match[len(head):]
	return strings.Trim(word, "abcdefghijklmnopqrstuvwxyz.") == ""
}

// noSecret keeps what is long and no secret: digests in hexadecimal, and names and paths, which are not of large and small
// letters and digits in one word.
func noSecret(match, _ string) bool {
	for word := range strings.SplitSeq(match, "/") {
		has := func(set string) bool { return strings.ContainsAny(word, set) }
		if len(word) >= 16 && has("ABCDEFGHIJKLMNOPQRSTUVWXYZ") && has("abcdefghijklmnopqrstuvwxyz") && has("0123456789") {
			return false
		}
	}
	return true
}
