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

// Read calls found for every object of r: JSON documents one after the other,
// or YAML documents, each an object or a List (also a List in a List), as oc and
// kubectl print them. Errors wrap ErrObject and say which document is meant.
func Read(r io.Reader, found func(Object) error) error {
	br := bufio.NewReaderSize(r, 64<<10)
	if head, err := br.Peek(len(byteOrderMark)); err == nil && string(head) == byteOrderMark {
		if _, err := br.Discard(len(byteOrderMark)); err != nil {
			return err
		}
	}
	head, err := br.Peek(sniffLen)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if Sniff(head) == JSON {
		return readJSON(br, found)
	}
	return readYAML(br, found)
}

// byteOrderMark is what some editors write first.
const byteOrderMark = "\xef\xbb\xbf"

func readJSON(r *bufio.Reader, found func(Object) error) error {
	for n := 1; ; n++ {
		_, err := ReadList(r, func(raw []byte) error { return emit(raw, found) })
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
		_, err = ReadList(bufio.NewReader(bytes.NewReader(data)), func(raw []byte) error { return emit(raw, found) })
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
