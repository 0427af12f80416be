package report

import "strings"

// valueEnd returns where the value ends that stands in text from start on, behind a key in the line of that place and
// its separator. It knows strings, also escaped ones and those over several lines, lists and objects with strings in
// them, and the blocks of YAML. Where it cannot be sure, the value is longer.
func valueEnd(text string, key, start int) int {
	i := start
	for i < len(text) && strings.IndexByte(" \t\r", text[i]) >= 0 {
		i++
	}
	if i < len(text) && text[i] == '\n' { // it is below its key
		if end := block(text, i+1, indent(text, key)); end > i+1 {
			return end
		}
		for i < len(text) && strings.IndexByte(" \t\r\n", text[i]) >= 0 {
			i++
		}
	}
	if i == len(text) {
		return start
	}
	if end, ok := quoted(text, i); ok {
		return end
	}
	if text[i] == '[' || text[i] == '{' {
		return bracketed(text, i)
	}
	return block(text, lineEnd(text, i), indent(text, key))
}

// lineEnd returns where the line ends that i is in, with those that a backslash at its end continues it with. The last
// newline is not in it.
func lineEnd(text string, i int) int {
	for {
		n := strings.IndexByte(text[i:], '\n')
		if n < 0 {
			return len(text)
		}
		if !strings.HasSuffix(strings.TrimRight(text[i:i+n], " \t\r"), `\`) {
			return i + n
		}
		i += n + 1
	}
}

// indent is how deep the key is that is at i: what of a list or of a quotation stands before it counts.
func indent(text string, i int) int {
	line := text[strings.LastIndexByte(text[:i], '\n')+1:]
	return len(line) - len(strings.TrimLeft(line, " \t-\"'"))
}

// block returns the end of the lines from i on that are empty, deeper than a key, or items of a list as deep as it. At i
// a line begins or ends. Empty lines behind the last of them, and the last newline, are not in it.
func block(text string, i, deep int) int {
	end := i
	if i < len(text) && text[i] == '\n' {
		i++
	}
	for i < len(text) {
		line, _, _ := strings.Cut(text[i:], "\n")
		bare := strings.TrimLeft(line, " \t")
		at := len(line) - len(bare)
		if strings.TrimSpace(bare) != "" {
			if at < deep || at == deep && !strings.HasPrefix(bare, "- ") {
				break
			}
			end = i + len(line)
		}
		i += len(line) + 1
	}
	return end
}

// quoted returns the end of the string that begins at i, or of the backslashes there if none does.
func quoted(text string, i int) (end int, ok bool) {
	for _, three := range []string{`"""`, `'''`} {
		if strings.HasPrefix(text[i:], three) {
			if n := strings.Index(text[i+3:], three); n >= 0 {
				return i + 3 + n + 3, true
			}
			return len(text), true
		}
	}
	slashes := 0
	for i+slashes < len(text) && text[i+slashes] == '\\' {
		slashes++
	}
	at := i + slashes
	if at == len(text) || text[at] != '"' && text[at] != '\'' {
		return at, false
	}
	quote, run := text[at], 0
	for j := at + 1; j < len(text); j++ {
		switch c := text[j]; {
		case c == '\\':
			run++
			continue
		case c == '\n' && slashes > 0: // an escaped string has no newline
			return j, true
		case c == quote && (run == slashes || slashes == 0 && (run%2 == 0 || quote == '\'')):
			return j + 1, true
		}
		run = 0
	}
	return len(text), true
}

// bracketed returns the end of the list or object that begins at i. What is not closed goes on to the end.
func bracketed(text string, i int) int {
	open := 0
	for j := i; j < len(text); {
		switch c := text[j]; {
		case c == '[' || c == '{':
			open++
		case c == ']' || c == '}':
			if open--; open == 0 {
				return j + 1
			}
		case c == '#' && strings.IndexByte(" \t\n", text[j-1]) >= 0: // a comment
			if n := strings.IndexByte(text[j:], '\n'); n >= 0 {
				j += n
			}
		case c == '"' || c == '\\' || c == '\'' && strings.IndexByte(" \t\n,:[{=", text[j-1]) >= 0:
			end, _ := quoted(text, j)
			j = max(end, j+1)
			continue
		}
		j++
	}
	return len(text)
}
