package sources

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/imagelist/file"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// headLen is how much of a file says what form it has, in bytes.
const headLen = 4096

// ReadFile reads one file, whatever its form: references one a line or the JSON
// that `nodeseal list` printed (doc then has what they say besides references), or
// objects as `oc get -o json` and `-o yaml` print them, each of which goes to add.
// Errors name the file.
func ReadFile(f File, add func(kubeobject.Object)) (doc *imagelist.Document, list *imagelist.List, err error) {
	r, err := f.Open()
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	br := bufio.NewReaderSize(r, headLen)
	head, err := br.Peek(headLen)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("reading %s: %w", f.Name, err)
	}
	switch form := kubeobject.Sniff(head); {
	case form == kubeobject.Plain:
		list, notes, err := file.ParseNotes(br, f.Name)
		return &imagelist.Document{Release: notes.Release, Architectures: notes.Architectures}, list, err
	case form == kubeobject.JSON && bytes.Contains(head, []byte(`"`+imagelist.FormatV1+`"`)):
		if doc, err = imagelist.ReadDocument(br); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		return doc, doc.List(), nil
	}
	return nil, nil, collect(br, f.Name, add)
}

// readObjects reads a file that must hold objects.
func readObjects(f File, add func(kubeobject.Object)) (err error) {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return collect(r, f.Name, add)
}

func collect(r io.Reader, name string, add func(kubeobject.Object)) error {
	err := kubeobject.Read(r, func(o kubeobject.Object) error { add(o); return nil })
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
