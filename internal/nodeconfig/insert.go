package nodeconfig

import (
	"bytes"
	"slices"
	"strings"
)

// addStores puts stores into the text, in the best place that it has. It only
// ever inserts.
func addStores(text []byte, stores []string) ([]byte, error) {
	p, err := locate(text)
	if err != nil {
		return nil, err
	}
	quoted := make([]string, len(stores))
	for i, store := range stores {
		quoted[i] = quote(store)
	}
	setting := keyStores + " = [" + strings.Join(quoted, ", ") + "]"
	switch {
	case p.array != nil && bytes.IndexByte(text[p.array.open:p.array.close], '\n') < 0:
		return p.array.insertInline(text, quoted), nil
	case p.array != nil:
		return p.array.insertLines(text, quoted), nil
	case p.inline != nil:
		return p.inline.insert(text, setting), nil
	case p.sibling != nil:
		return insertLine(text, p.sibling.at, p.sibling.prefix+setting), nil
	case p.table != nil:
		return insertLine(text, p.table.at, setting), nil
	}
	table := "[" + keyStorage + "." + keyOptions + "]" + lineEnd(text) + setting
	if len(text) > 0 {
		table = lineEnd(text) + table
	}
	return insertLine(text, len(text), table), nil
}

// insertInline adds elements to an array on one line.
func (a *array) insertInline(text []byte, quoted []string) []byte {
	list := strings.Join(quoted, ", ")
	if a.last == 0 {
		space := string(text[a.open+1 : a.close])
		return insert(text, a.open+1, space+list)
	}
	if after := skipBlank(text, a.last); text[after] == ',' {
		return insert(text, after+1, " "+list+",")
	}
	return insert(text, a.last, ", "+list)
}

// insertLines adds elements to an array of several lines, one a line, indented
// as the last one, and with a comma at the end where it has one.
func (a *array) insertLines(text []byte, quoted []string) []byte {
	closing := lineStart(text, a.close)
	indent, eol := leading(text[closing:])+"  ", lineEnd(text)
	if a.last == 0 {
		return insert(text, closing, indent+strings.Join(quoted, ","+eol+indent)+","+eol)
	}
	if start := lineStart(text, a.last); start > a.open {
		indent = leading(text[start:])
	}
	list := indent + strings.Join(quoted, ","+eol+indent)
	end, missing := a.last, ","
	if after := skipBlank(text, a.last); text[after] == ',' {
		end, missing = after+1, ""
		list += ","
	}
	if closing <= end { // the bracket stands on the line of the last element
		return insert(text, end, missing+eol+list)
	}
	return insert(insert(text, closing, list+eol), end, missing)
}

// insert adds a setting to an inline table.
func (t *inline) insert(text []byte, setting string) []byte {
	setting = strings.Join(append(storesKey()[t.depth:len(storesKey())-1], setting), ".")
	switch {
	case t.last != 0:
		return insert(text, t.last, ", "+setting)
	case text[t.open+1] == '}':
		return insert(text, t.open+1, " "+setting+" ")
	default:
		return insert(text, t.open+1, " "+setting)
	}
}

// insertLine adds a line of its own at the start of a line, or at the end.
func insertLine(text []byte, at int, line string) []byte {
	eol := lineEnd(text)
	if at > 0 && text[at-1] != '\n' {
		line = eol + line
	}
	return insert(text, at, line+eol)
}

func insert(text []byte, at int, what string) []byte {
	return slices.Concat(text[:at], []byte(what), text[at:])
}

// lineEnd is how the lines of text end.
func lineEnd(text []byte) string {
	if i := bytes.IndexByte(text, '\n'); i > 0 && text[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// lineStart is where the line of a place starts.
func lineStart(text []byte, at int) int { return bytes.LastIndexByte(text[:at], '\n') + 1 }

// leading returns the spaces that a line starts with.
func leading(text []byte) string {
	return string(text[:len(text)-len(bytes.TrimLeft(text, " \t"))])
}

// quote makes a basic string of a path, which has no control characters.
func quote(path string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(path) + `"`
}
