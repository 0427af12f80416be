package kubeobject

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ListHead is what is read of a list besides its items.
type ListHead struct {
	Kind     string
	Continue string
}

// Read calls found for every object of r: JSON documents one after the other,
// or YAML documents, each an object or a List (also a List in a List), as oc and
// kubectl print them. Errors wrap ErrObject and say which document is meant.
func Read(r io.Reader, found func(Object) error) error { return read(r, found, false) }

// ReadStrict is Read for files in which a key that an object has twice, also in other case, is an error: who decodes
// them would see the last one only.
func ReadStrict(r io.Reader, found func(Object) error) error {
	return read(r, func(o Object) error {
		if err := noneTwice(o.Raw); err != nil {
			return fmt.Errorf("%w: %w", ErrObject, err)
		}
		return found(o)
	}, true)
}

func read(r io.Reader, found func(Object) error, strict bool) error {
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
	return readYAML(br, found, strict)
}

// byteOrderMark is what some editors write first.
const byteOrderMark = "\xef\xbb\xbf"

func readJSON(r *bufio.Reader, found func(Object) error) error {
	s := splitter{r: r}
	for n := 1; ; n++ {
		_, err := s.document(func(raw []byte) error { return emit(raw, found, 0) })
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("document %d: %w", n, err)
		}
	}
}

// emit hands raw on as an object, or each item where it is a list itself. lists is how
// many lists are around it, besides that of the document.
func emit(raw []byte, found func(Object) error, lists int) error {
	o, err := Parse(bytes.Clone(raw), "", "")
	if err != nil {
		return err
	}
	if !strings.HasSuffix(o.Kind, "List") {
		return found(o)
	}
	if lists == maxLists {
		return fmt.Errorf("%w: lists are nested more than %d deep", ErrObject, maxLists)
	}
	isList := false
	s := splitter{r: bufio.NewReader(bytes.NewReader(o.Raw)), list: &isList}
	_, err = s.document(func(raw []byte) error {
		if !isList {
			return nil // a List without items
		}
		return emit(raw, found, lists+1)
	})
	return err
}
