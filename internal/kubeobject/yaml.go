package kubeobject

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	goyaml "go.yaml.in/yaml/v2"
	"sigs.k8s.io/yaml"
)

const (
	// maxYAML bounds one object in YAML, in bytes: the parser takes a hundred times as much.
	maxYAML = 8 << 20
	// maxNodes and nodeBytes bound how many lines, commas and brackets it has, outside of block
	// scalars: maxNodes, and one more for each nodeBytes of its length.
	maxNodes  = 256 << 10
	nodeBytes = 32
)

// yamlReader reads YAML documents line by line. Of a List, as oc and kubectl print it, one item
// is held at a time.
type yamlReader struct {
	r       *bufio.Reader
	found   func(Object) error
	strict  bool // a key that a mapping has twice is an error
	n       int  // of the document
	pending []byte
	nodes   int
	scalar  int // a block scalar goes on in lines that are indented more; -1 outside of one

	inItems bool // the lines are of the items of a List
	behind  bool // they are of its other members, which say nothing of the items
	listed  bool // the document has a member items
	dash    int  // where an item's dash stands; -1 before the first
}

func readYAML(br *bufio.Reader, found func(Object) error, strict bool) error {
	y := &yamlReader{r: br, found: found, strict: strict, n: 1}
	y.reset()
	for {
		line, err := y.line()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if takeErr := y.take(line); takeErr != nil {
			return fmt.Errorf("document %d: %w", y.n, takeErr)
		}
		if err != nil {
			if err := y.flush(); err != nil {
				return fmt.Errorf("document %d: %w", y.n, err)
			}
			return nil
		}
	}
}

// line reads a line with its end, of at most maxYAML bytes.
func (y *yamlReader) line() ([]byte, error) {
	var long []byte
	for {
		piece, err := y.r.ReadSlice('\n')
		if long == nil && !errors.Is(err, bufio.ErrBufferFull) {
			return piece, err
		}
		if len(bytes.TrimSpace(piece)) == 0 && len(bytes.TrimSpace(long)) == 0 {
			long = append(long[:0], ' ') // of a line of blanks one stands for all
			if bytes.HasSuffix(piece, []byte("\n")) {
				long = append(long, '\n')
			}
		} else {
			long = append(long, piece...)
		}
		if len(long) > maxYAML {
			return nil, fmt.Errorf("document %d: %w: a line of more than %d MiB", y.n, ErrObject, maxYAML>>20)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return long, err
		}
	}
}

// take adds a line to what is pending, and reads what is whole with it.
func (y *yamlReader) take(line []byte) error {
	if begins, more := DocumentMark(line); begins {
		if err := y.flush(); err != nil {
			return err
		}
		y.n++
		y.inItems, y.behind, y.listed, y.dash = false, false, false, -1
		if !more {
			return nil
		}
	}
	text := strings.TrimRight(string(line), " \r\n")
	indent := len(text) - len(strings.TrimLeft(text, " "))
	switch {
	case text == "" && len(y.pending) == 0:
		return nil
	case strings.HasPrefix(text, "items:") && y.listed:
		return fmt.Errorf("%w: it has items twice", ErrObject)
	case y.behind:
		return nil
	case y.inItems:
		return y.takeItem(line, text, indent)
	case text == "items:":
		// What stands before it says nothing of the items.
		y.reset()
		y.inItems, y.listed = true, true
		return nil
	case strings.HasPrefix(text, "items:"):
		y.listed = true
	}
	return y.add(line, text, indent)
}

// takeItem adds a line to an item, or begins the next one.
func (y *yamlReader) takeItem(line []byte, text string, indent int) error {
	isDash := strings.HasPrefix(text[indent:], "- ") || text[indent:] == "-"
	switch {
	case text == "" || strings.HasPrefix(text[indent:], "#") && y.scalar < 0:
		return y.add(line, text, y.dash+1)
	case y.dash < 0 && isDash:
		y.dash = indent
	case y.dash < 0 && indent > 0, indent < y.dash && indent > 0:
		return fmt.Errorf("%w: items is not a list", ErrObject)
	case y.dash < 0 || indent < y.dash || indent == y.dash && !isDash:
		err := y.flush()
		y.inItems, y.behind, y.dash = false, true, -1
		return err
	case indent > y.dash:
		return y.add(line, text, indent)
	}
	if err := y.flush(); err != nil {
		return err
	}
	item := bytes.Clone(line)
	item[y.dash] = ' '
	text = strings.TrimRight(string(item), " \r\n")
	return y.add(item, text, len(text)-len(strings.TrimLeft(text, " ")))
}

// add adds a line to the pending object and counts what the parser would make of it.
func (y *yamlReader) add(line []byte, text string, indent int) error {
	if y.scalar >= 0 && text != "" && indent <= y.scalar {
		y.scalar = -1
	}
	if y.scalar < 0 {
		y.nodes += 1 + strings.Count(text, ",") + strings.Count(text, "[") + strings.Count(text, "{") + strings.Count(text, "- ")
		if blockScalar(text) {
			y.scalar = indent
		}
	}
	y.pending = append(y.pending, line...)
	if n := len(y.pending); n > maxYAML || y.nodes > maxNodes+n/nodeBytes {
		return fmt.Errorf("%w: a YAML object of more than %d MiB or %d values; as JSON (oc get -o json) it may be read", ErrObject, maxYAML>>20, maxNodes)
	}
	return nil
}

// blockScalar reports whether the lines below text are those of a literal or folded scalar.
func blockScalar(text string) bool {
	i := strings.LastIndexAny(text, "|>")
	if i < 1 || text[i-1] != ' ' {
		return false
	}
	return strings.Trim(text[i+1:], "+-0123456789") == ""
}

func (y *yamlReader) reset() {
	y.pending, y.nodes, y.scalar = y.pending[:0], 0, -1
	if !y.inItems {
		y.dash = -1
	}
}

// flush reads the pending object.
func (y *yamlReader) flush() error {
	defer y.reset()
	if len(bytes.TrimSpace(y.pending)) == 0 {
		return nil
	}
	if err := single(y.pending); err != nil {
		return err
	}
	convert := yaml.YAMLToJSON
	if y.strict {
		convert = yaml.YAMLToJSONStrict
	}
	data, err := convert(y.pending)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrObject, err)
	}
	if bytes.Equal(data, []byte("null")) {
		return nil
	}
	if y.inItems {
		return emit(data, y.found, 0)
	}
	s := splitter{r: bufio.NewReader(bytes.NewReader(data))}
	_, err = s.document(func(raw []byte) error { return emit(raw, y.found, 0) })
	return err
}

// DocumentMark reports whether a line begins or ends a YAML document, and whether it has more than the mark and a comment.
func DocumentMark(line []byte) (is, more bool) {
	if !bytes.HasPrefix(line, []byte("---")) && !bytes.HasPrefix(line, []byte("...")) {
		return false, false
	}
	behind := line[len("---"):]
	rest := bytes.TrimSpace(behind)
	if len(rest) > 0 && behind[0] != ' ' && behind[0] != '\t' && behind[0] != '\r' {
		return false, false
	}
	return true, len(rest) > 0 && rest[0] != '#'
}

// none takes any value of YAML, and keeps nothing of it.
type none struct{}

// UnmarshalYAML implements yaml.Unmarshaler.
func (none) UnmarshalYAML(func(any) error) error { return nil }

// single refuses a text that goes on behind its first document: who decodes it would never see the rest.
func single(text []byte) error {
	dec := goyaml.NewDecoder(bytes.NewReader(text))
	err := dec.Decode(&none{})
	if err == nil {
		err = dec.Decode(&none{})
	}
	switch {
	case err == nil:
		return fmt.Errorf("%w: a second document begins in it, write --- on a line of its own before that", ErrObject)
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("%w: %w", ErrObject, err)
	}
	return nil
}

// UnmarshalYAML decodes one YAML document, the first of text, which is bounded as an object of Read is. Errors
// wrap ErrObject.
func UnmarshalYAML(text string, into any) error { return unmarshalYAML(text, into, false) }

// UnmarshalSingleYAML is UnmarshalYAML for a text that must have no second document.
func UnmarshalSingleYAML(text string, into any) error { return unmarshalYAML(text, into, true) }

func unmarshalYAML(text string, into any, only bool) error {
	y := &yamlReader{}
	y.reset()
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if err := y.add([]byte(line+"\n"), line, len(line)-len(strings.TrimLeft(line, " "))); err != nil {
			return err
		}
	}
	if only {
		if err := single(y.pending); err != nil {
			return err
		}
	}
	if err := yaml.Unmarshal(y.pending, into); err != nil {
		return fmt.Errorf("%w: %w", ErrObject, err)
	}
	return nil
}
