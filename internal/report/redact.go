package report

import (
	"regexp"
	"slices"
	"strings"
)

// gone stands in the place of what was taken out.
const gone = "REDACTED"

// rule is one form of secrets. Of a match, groups 1 and 2 stay, and what is between them goes, if keep does not say otherwise.
type rule struct {
	form *regexp.Regexp
	// words are some of which a text has to have, in small letters, for form to match in it: to look for them takes less.
	words []string
	// end returns where the secret ends whose key and beginning are at these places, for a form that matches only what
	// stands before it.
	end  func(text string, key, start int) int
	keep func(secret, head, behind string) bool
	// less returns what of the secret stays, if anything does.
	less func(secret string) string
}

const (
	// secretKey is a name whose value is secret, as of a field, a setting, or a variable. Names of Kubernetes for the values
	// of variables, and all environments, are among them.
	secretKey = `[A-Za-z0-9_.\-]*(?:passw|passphrase|passwd|secret|token|credential|api[_\-]?key|access[_\-]?key|private[_\-]?key|dockercfg|dockerconfig|cookie|session[_\-]?(?:id|key))[A-Za-z0-9_.\-]*` +
		`|[A-Za-z0-9_.\-]*keys?|(?:[A-Za-z0-9_.\-]*[_.\-])?(?:auths?|authorization|pass|pwd|psk|creds?|envs?|environ|environment|values?|sig|signature)`
	// wordBehind is a word of a command line, also in quotes.
	wordBehind = `(?:"(?:\\.|[^"\\])*"?|'[^']*'?|\\.|[^\s"'\\])+`
)

// rules are all forms, in the order in which they are looked for.
func rules() []rule {
	form := regexp.MustCompile
	return []rule{
		{form: form(`(-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----)(?s:.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)`), words: []string{"private key"}},
		{form: form(`((?i:\b(?:environment|passenvironment|(?:set|load|import)credential(?:encrypted)?)[ \t]*=))`), end: settingEnd, keep: proxies, words: []string{"environment", "credential"}},
		{form: form(`(\b(?:Exec[A-Za-z]*[ \t]*=|argv\[\]=))`), end: settingEnd, less: words(), words: []string{"exec", "argv"}},
		{form: form(`((?i:environment assignment, ignoring:\s*))[^\n]*`), words: []string{"ignoring"}},
		{form: form(`((?:^|[\s"'])(?:-e|-E|--env|--setenv)["',=\s]*[A-Za-z_][A-Za-z0-9_]*=)` + wordBehind), words: []string{"-e", "-s"}},
		{form: form(`((?i:"?\b(?:` + secretKey + `))\\*["']?\]?[ \t]*(?:=>|[:=]))`), end: valueEnd, keep: file, words: keyWords()},
		{form: form(`((?i:\b(?:proxy-)?authorization|\b(?:set-)?cookie|\bx-[a-z\-]*(?:token|key|auth))\\*["']?\s*[:=]\s*)[^\n]*`), words: []string{"auth", "cookie", "token", "key"}},
		{form: form(`((?i:--?(?:[a-z\-]*(?:password|passphrase|token|secret|creds)))(?:[=\s]|\\\n)+)` + wordBehind), words: []string{"password", "passphrase", "token", "secret", "creds"}},
		{form: form(`((?:^|[\s"'\[,=])(?:-u|-U|--user|--proxy-user)["']?(?:[=\s,\\]*))(?:"[^"]*:[^"]*"|'[^']*:[^']*'|["']?[^\s:"']+:[^\s]+)`), words: []string{"-u", "-proxy-user"}},
		{form: form(`(\b(?:login|sshpass)\s)[^\n]*`), words: []string{"login", "sshpass"}},
		{form: form(`([A-Za-z][A-Za-z0-9+.\-]*://)[^\s/"'<>]+(@)`), words: []string{"://"}},
		{form: form(`([A-Za-z][A-Za-z0-9+.\-]*://)[^\s/"'<>:]*:[^\s"'<>@]*(@)([^\s:]*:?)`), keep: digest, words: []string{"://"}},
		{form: form(`((?:^|[\s"'=,;(\[{]))[^\s:@"'=,;()\[{/]*:[^\s@"'/][^\s@"']*(@)([A-Za-z0-9.\-\[]+:?)`), keep: digest, words: []string{"@"}},
		{form: form(`(\?)[A-Za-z0-9_.%\[\]\-]+=[^\s"'<>]*`), words: []string{"?"}},
		{form: form(`((?i:\b(?:x-amz|x-goog)-[a-z\-]+=))[^\s&"'<>]+`), words: []string{"x-amz-", "x-goog-"}},
		{form: form(`((?i:\b(?:bearer|basic))\s+)[A-Za-z0-9._~+/=\-]{6,}`), keep: prose, words: []string{"bearer", "basic"}},
		{form: form(`()\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]+(?:\.[A-Za-z0-9_\-]*)?`), words: []string{"eyj"}},
		{form: form(`()\b(?:gh[pousr]_|github_pat_|glpat-|sha256~|AKIA|ASIA|xox[abprs]-|dckr_pat_|hf_)[A-Za-z0-9_~\-]{10,}`)},
		{form: form(`()\$(?:1|2[abxy]?|5|6|7|y|gy)\$[^\s:"']+`), words: []string{"$"}},
		{form: form(`()[A-Za-z0-9+/_\-]{40,}={0,2}`), keep: noSecret},
	}
}

// keyWords are in each name that secretKey matches.
func keyWords() []string {
	return []string{"pass", "secret", "token", "credential", "key", "dockercfg", "dockerconfig", "cookie", "session", "auth", "pwd", "psk", "cred", "env", "value", "sig"}
}

// redact takes out of text what has the form of a secret, and returns how many it took.
func redact(text string) (clean string, n int) {
	small := strings.ToLower(text)
	for _, r := range rules() {
		if len(r.words) > 0 && !slices.ContainsFunc(r.words, func(w string) bool { return strings.Contains(small, w) }) {
			continue
		}
		var took int
		text, took = r.apply(text)
		n += took
	}
	return text, n
}

// apply takes out of text all that has this form.
func (r rule) apply(text string) (clean string, n int) {
	var b strings.Builder
	done := 0
	for _, at := range r.form.FindAllStringSubmatchIndex(text, -1) {
		if at[0] < done {
			continue // it is in what went
		}
		start, end, behind := at[3], at[1], ""
		if r.end != nil {
			end = r.end(text, at[0], start)
			for start < end && strings.IndexByte(" \t\r\n", text[start]) >= 0 {
				start++
			}
		} else if len(at) > 6 {
			end, behind = at[4], text[at[6]:at[7]]
		}
		secret, stays := text[start:end], gone
		switch quote := strings.TrimLeft(secret, `\`); {
		case r.less != nil:
			stays = r.less(secret)
		case r.end != nil && strings.HasPrefix(quote, `"`) && !strings.HasPrefix(quote, `""`): // JSON stays JSON
			quote = secret[:len(secret)-len(quote)+1]
			stays = quote + gone + quote
		case r.end != nil && (secret[:min(1, len(secret))] == "[" || secret[:min(1, len(secret))] == "{") && !strings.Contains(text[at[0]:at[3]], `\`):
			stays = `"` + gone + `"`
		}
		if secret != "" && secret != gone && secret != stays && (r.keep == nil || !r.keep(secret, text[at[0]:at[3]], behind)) {
			b.WriteString(text[done:start])
			b.WriteString(stays)
			n++
			done = end
			continue
		}
		b.WriteString(text[done:end])
		done = end
	}
	b.WriteString(text[done:])
	return b.String(), n
}

// file keeps the paths of files: where a secret lies is none.
func file(secret, head, _ string) bool {
	name := strings.TrimRight(strings.ToLower(head), " \t\n\"'\\=:>")
	value := strings.Trim(secret, " \t\"'\\")
	isFile := strings.HasSuffix(name, "file") || strings.HasSuffix(name, "path") || strings.HasSuffix(name, "dir")
	return isFile && (value == "" || strings.HasPrefix(value, "/") && !strings.ContainsAny(value, " \t\n=:,;@")) || strings.HasSuffix(name, "environment") && proxies(secret, "", "")
}

// proxies keeps variables that say no more than which proxy is used.
func proxies(secret, _, _ string) bool {
	name, _, _ := strings.Cut(strings.Trim(secret, `"'`), "=")
	return slices.Contains([]string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"}, strings.ToUpper(name)) && !strings.ContainsAny(secret, " \t\n\\@?")
}

// digest keeps references with a digest: app:v1@sha256:...
func digest(_, _, behind string) bool { return behind == "sha256:" || behind == "sha512:" }

// prose keeps sentences: "basic authentication", "bearer token".
func prose(word, _, _ string) bool { return strings.Trim(word, "abcdefghijklmnopqrstuvwxyz.") == "" }

// noSecret keeps what is long and no secret: digests in hexadecimal, and names and paths, which are not of large and small
// letters and digits.
func noSecret(word, _, _ string) bool {
	has := func(set string) bool { return strings.ContainsAny(word, set) }
	return !has("ABCDEFGHIJKLMNOPQRSTUVWXYZ") || !has("abcdefghijklmnopqrstuvwxyz") || !has("0123456789")
}
