package kubeobject

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"sigs.k8s.io/yaml"
)

// ListHead is what is read of a list besides its items.
type ListHead struct {
	Kind     string
	Continue string
}

// ReadList reads one JSON document from dec and calls item for each object of
// a List while the rest is still being read, or once where the document is a
// single object. item must not keep raw longer than the call, but may keep
// copies. Reading stops at the first error of item, which is returned as it is;
// other errors wrap ErrObject or are those of the reader; io.EOF means that
// there was no further document.
func ReadList(dec *json.Decoder, item func(raw []byte) error) (ListHead, error) {
	var head ListHead
	tok, err := dec.Token()
	if err != nil {
		return head, syntax(err)
	}
	if tok != json.Delim('{') {
		return head, fmt.Errorf("%w: want a JSON object, found %v", ErrObject, tok)
	}
	var rest map[string]json.RawMessage
	isList := false
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return head, unexpected(err)
		}
		key, _ := tok.(string)
		if key == "items" && !isList {
			if isList, err = readItems(dec, item); err != nil {
				return head, err
			}
			continue
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return head, unexpected(err)
		}
		if rest == nil {
			rest = make(map[string]json.RawMessage)
		}
		rest[key] = raw
	}
	if _, err := dec.Token(); err != nil {
		return head, unexpected(err)
	}
	if !isList {
		whole, err := json.Marshal(rest)
		if err != nil {
			return head, fmt.Errorf("%w: %w", ErrObject, err)
		}
		return head, item(whole)
	}
	var meta struct {
		Continue string `json:"continue"`
	}
	for _, part := range []struct {
		raw  json.RawMessage
		into any
	}{{rest["kind"], &head.Kind}, {rest["metadata"], &meta}} {
		if part.raw != nil {
			if err := json.Unmarshal(part.raw, part.into); err != nil {
				return head, fmt.Errorf("%w: %w", ErrObject, err)
			}
		}
	}
	head.Continue = meta.Continue
	return head, nil
}

// readItems reads the array of a list; ok is false for null.
func readItems(dec *json.Decoder, item func(raw []byte) error) (ok bool, err error) {
	tok, err := dec.Token()
	switch {
	case err != nil:
		return false, unexpected(err)
	case tok == nil:
		return true, nil
	case tok != json.Delim('['):
		return false, fmt.Errorf("%w: items is not a list", ErrObject)
	}
	var raw json.RawMessage // one buffer for all items
	for dec.More() {
		if err := dec.Decode(&raw); err != nil {
			return false, unexpected(err)
		}
		if err := item(raw); err != nil {
			return false, err
		}
	}
	_, err = dec.Token()
	if err != nil {
		return false, unexpected(err)
	}
	return true, nil
}

// syntax marks an error of the JSON itself, or its early end, with ErrObject;
// errors of the reader stay what they are.
func syntax(err error) error {
	var se *json.SyntaxError
	if errors.As(err, &se) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %w", ErrObject, err)
	}
	return err
}

// unexpected is syntax for the middle of a document.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %w", ErrObject, io.ErrUnexpectedEOF)
	}
	return syntax(err)
}

// Read calls found for every object of r: JSON documents one after the other,
// or YAML documents, each an object or a List (also a List in a List), as oc and
// kubectl print them. Errors wrap ErrObject and say which document is meant.
func Read(r io.Reader, found func(Object) error) error {
	br := bufio.NewReaderSize(r, 64<<10)
	head, err := br.Peek(sniffLen)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if Sniff(head) == JSON {
		return readJSON(br, found)
	}
	return readYAML(br, found)
}

func readJSON(r io.Reader, found func(Object) error) error {
	dec := json.NewDecoder(r)
	for n := 1; ; n++ {
		_, err := ReadList(dec, func(raw []byte) error { return emit(raw, found) })
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("document %d: %w", n, err)
		}
	}
}

// emit hands raw on as an object, or each item where it is a list itself.
func emit(raw []byte, found func(Object) error) error {
	o, err := Parse(bytes.Clone(raw), "", "")
	if err != nil {
		return err
	}
	if !strings.HasSuffix(o.Kind, "List") {
		return found(o)
	}
	var list struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := o.Decode(&list); err != nil {
		return err
	}
	for _, item := range list.Items {
		o, err := Parse(item, "", "")
		if err != nil {
			return err
		}
		if err := found(o); err != nil {
			return err
		}
	}
	return nil
}

// maxDocument bounds one YAML document, in bytes.
const maxDocument = 1 << 30

func readYAML(br *bufio.Reader, found func(Object) error) error {
	var doc bytes.Buffer
	flush := func(n int) error {
		defer doc.Reset()
		if len(bytes.TrimSpace(doc.Bytes())) == 0 {
			return nil
		}
		data, err := yaml.YAMLToJSON(doc.Bytes())
		if err != nil {
			return fmt.Errorf("document %d: %w: %w", n, ErrObject, err)
		}
		if bytes.Equal(data, []byte("null")) {
			return nil
		}
		_, err = ReadList(json.NewDecoder(bytes.NewReader(data)), func(raw []byte) error { return emit(raw, found) })
		if err != nil {
			return fmt.Errorf("document %d: %w", n, err)
		}
		return nil
	}
	for n := 1; ; {
		line, err := br.ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if strings.TrimRight(line, " \r\n") == "---" {
			if err := flush(n); err != nil {
				return err
			}
			n++
			continue
		}
		if doc.Len()+len(line) > maxDocument {
			return fmt.Errorf("document %d: %w: longer than %d bytes", n, ErrObject, maxDocument)
		}
		doc.WriteString(line)
		if err != nil {
			return flush(n)
		}
	}
}
