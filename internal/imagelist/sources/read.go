package sources

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/imagelist/file"
	"github.com/nodeseal/nodeseal/internal/imagelist/imageset"
	"github.com/nodeseal/nodeseal/internal/imagelist/neighbours"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// headLen is how much of a file says what form it has, in bytes.
const headLen = 4096

// ReadFile reads one file, whatever its form: references one a line or the JSON
// that `nodeseal list` printed (doc then has what they say besides references), or
// objects as `oc get -o json` and `-o yaml` print them, each of which goes to add. Files of
// Hauler and Zarf are lists, too; doc has as problems what of them is in none.
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
	return collectAll(br, f.Name, add)
}

// ErrUse is wrapped by the error about a file that another flag takes.
var ErrUse = errors.New("it is no list of images")

// misplaced refuses configurations of oc-mirror, which name images besides those that objects name.
func misplaced(o kubeobject.Object) error {
	switch {
	case !strings.HasPrefix(o.APIVersion, "mirror.openshift.io/"):
		return nil
	case o.Kind == imageset.Kind:
		return fmt.Errorf("%w but an %s: give it to --imageset", ErrUse, o.Kind)
	case o.Kind == "DeleteImageSetConfiguration":
		return fmt.Errorf("%w but a %s, which says what to delete of a mirror: leave it out", ErrUse, o.Kind)
	}
	return nil
}

// collectAll reads objects. Those of other tools that say which images they carry are a list of their own.
func collectAll(r io.Reader, name string, add func(kubeobject.Object)) (*imagelist.Document, *imagelist.List, error) {
	other, only := neighbours.Reader{Name: name}, error(nil)
	err := collect(r, name, func(o kubeobject.Object) {
		if err := misplaced(o); err != nil {
			only = cmp.Or(only, fmt.Errorf("%s: %w", name, err))
			return
		}
		is, err := other.Read(o)
		if !is {
			add(o)
		}
		if err == nil {
			err = other.List.Check()
		}
		only = cmp.Or(only, err)
	})
	if err := cmp.Or(err, only); err != nil {
		return nil, nil, err
	}
	if other.List.Len()+len(other.Open) == 0 {
		return nil, nil, nil
	}
	doc := new(imagelist.Document)
	for _, open := range other.Open {
		doc.Problems = append(doc.Problems, open.Error())
	}
	return doc, &other.List, nil
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
