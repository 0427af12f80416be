package nodeconfig

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// Complete returns the storage.conf text with the driver, the runroot and the graphroot
// of the storage library where they are not set: podman and CRI-O do not start with a file
// without the last two. It only ever inserts lines. Errors wrap ErrStorageConf.
func Complete(text []byte) ([]byte, error) {
	before, err := decode(text)
	if err != nil {
		return nil, err
	}
	var keys, lines []string
	for _, k := range []struct{ key, value string }{
		{keyDriver, "overlay"}, {keyRunRoot, defaultRunRoot}, {keyGraphRoot, defaultGraphRoot},
	} {
		if have, _, err := before.text(k.key); err != nil {
			return nil, err
		} else if have == "" {
			keys, lines = append(keys, k.key), append(lines, k.key+" = "+quote(k.value))
		}
	}
	if len(lines) == 0 {
		return text, nil
	}
	if out := completed(text, lines); out != nil {
		after, err := decode(out)
		if err == nil && reflect.DeepEqual(without(after, keys), without(before, keys)) {
			return out, nil
		}
	}
	return nil, fmt.Errorf("%w: no line can be added to it that sets %s: write [storage] as a table of its own",
		ErrStorageConf, strings.Join(keys, ", "))
}

// completed returns the text with the lines in its [storage], nil if that is written as an
// inline table.
func completed(text []byte, lines []string) []byte {
	eol := lineEnd(text)
	at := storageTable(text)
	switch {
	case at.inline:
		return nil
	case at.in >= 0:
		return insertLine(text, at.in, strings.Join(lines, eol))
	case at.dotted:
		return insertLine(text, at.first, keyStorage+"."+strings.Join(lines, eol+keyStorage+"."))
	}
	table := "[" + keyStorage + "]" + eol + strings.Join(lines, eol)
	if at.first < len(text) {
		table += eol
	}
	return insertLine(text, at.first, table)
}

// tables is how a text writes [storage].
type tables struct {
	in     int  // the line after its header, -1 if there is none
	first  int  // the line of the first header of any table; the end of the text if there is none
	dotted bool // storage.X = before the first header
	inline bool // storage = {}
}

func storageTable(text []byte) tables {
	at := tables{in: -1, first: len(text)}
	s := scanner{text: text}
	s.parser.Reset(text)
	for s.parser.NextExpression() {
		e := s.parser.Expression()
		if e.Kind != unstable.Table && e.Kind != unstable.ArrayTable && e.Kind != unstable.KeyValue {
			continue
		}
		keys, end := keysOf(e.Key())
		ours := strings.EqualFold(keys[0], keyStorage)
		switch {
		case e.Kind == unstable.KeyValue:
			atRoot := at.first == len(text)
			at.dotted = at.dotted || atRoot && ours
			at.inline = at.inline || atRoot && ours && len(keys) == 1
			continue
		case e.Kind == unstable.Table && ours && len(keys) == 1 && at.in < 0:
			at.in = s.nextLine(end)
		}
		at.first = min(at.first, lineStart(text, end))
	}
	return at
}

// without returns all of s but what [storage] says of keys, and a [storage] that has
// nothing else.
func without(s *settings, keys []string) map[string]any {
	for _, key := range keys {
		if table, name, _, err := s.lookup(keyStorage, key); err == nil && table != nil {
			delete(table, name)
		}
	}
	if table, name, value, err := s.lookup(keyStorage); err == nil && table != nil {
		if below, ok := value.(map[string]any); ok && len(below) == 0 {
			delete(table, name)
		}
	}
	return s.root
}
