package report

import (
	"regexp"
	"strings"
)

// settingEnd returns where the value of a setting of a unit ends that begins at start: with all lines that continue it,
// comments and empty lines among them included, and indented ones behind it that are no setting.
func settingEnd(text string, _, start int) int {
	end, goesOn := start, true
	for i := start; i < len(text); {
		line, _, _ := strings.Cut(text[i:], "\n")
		bare := strings.TrimSpace(line)
		switch {
		case i == start:
			goesOn = strings.HasSuffix(bare, `\`)
		case goesOn && (bare == "" || bare[0] == '#' || bare[0] == ';'):
		case goesOn:
			goesOn = strings.HasSuffix(bare, `\`)
		case bare == "" || line[0] != ' ' && line[0] != '\t' || bare[0] == '[' || setting(bare):
			return end
		}
		end = i + len(line)
		i = end + 1
	}
	return end
}

// setting reports whether a line is a setting of a unit: their names are of large and small letters.
func setting(line string) bool {
	name, _, ok := strings.Cut(line, "=")
	name = strings.TrimSpace(name)
	return ok && len(name) > 1 && !strings.ContainsFunc(name, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') }) && name != strings.ToUpper(name)
}

// words returns what takes the values out of the words NAME=VALUE of a command line, also in quotes.
func words() func(line string) string {
	const name = `(?:-e)?[A-Za-z_][A-Za-z0-9_]*=)`
	forms := []*regexp.Regexp{
		regexp.MustCompile(`("` + name + `(?:\\(?s:.)|[^"\\])+`), regexp.MustCompile(`('` + name + `[^']+`),
		regexp.MustCompile(`((?:^|[\s=;(&|])` + name + wordBehind),
	}
	return func(line string) string {
		for _, form := range forms {
			line = form.ReplaceAllString(line, "${1}"+gone)
		}
		return line
	}
}
