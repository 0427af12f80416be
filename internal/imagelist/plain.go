package imagelist

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/bundle"
)

// Note begins the comment lines of a plain list that say what one reference a line
// cannot say. Each stands for itself, so that a list may be sorted, joined with others
// and shortened:
//
//	# nodeseal: release VERSION IMAGE
//	# nodeseal: architectures ARCH...
//	# nodeseal: name NAME REFERENCE
//	# nodeseal: role ROLE REFERENCE
//
// VERSION or IMAGE is - where it is not known. NAME is a further name, by tag, of the
// image that the line REFERENCE of the same list names; ROLE is what the cluster uses
// that image for, as bundle.RoleOS. Readers pass over notes
// with another word: later versions may write more.
const Note = "# nodeseal:"

// ErrNote is wrapped by the error about a note that breaks this form.
var ErrNote = errors.New("note of nodeseal is not valid")

const unknown = "-"

// WritePlain writes what is resolved as one reference by digest a line, sorted, after
// the notes. Package file reads it.
func (d Document) WritePlain(w io.Writer) error {
	b := bufio.NewWriter(w)
	if r := d.Release; r != nil && (r.Version != "" || r.Image != "") {
		fmt.Fprintf(b, "%s release %s %s\n", Note, word(r.Version), word(r.Image))
	}
	if len(d.Architectures) > 0 {
		fmt.Fprintf(b, "%s architectures %s\n", Note, strings.Join(d.Architectures, " "))
	}
	entries := d.Images
	if !slices.IsSortedFunc(entries, before) { // no list made them
		entries = d.List().Entries()
	}
	resolved := func(yield func(Entry) bool) {
		for _, e := range entries {
			if e.Digest != "" && !yield(e) {
				return
			}
		}
	}
	for e := range resolved {
		for _, name := range e.Names {
			if _, err := Normalize(name); err != nil {
				continue // no reference: documents that people wrote may hold such
			}
			fmt.Fprintf(b, "%s name %s %s\n", Note, name, e.Ref)
		}
	}
	for e := range resolved {
		if role := word(e.Role); role != unknown {
			fmt.Fprintf(b, "%s role %s %s\n", Note, role, e.Ref)
		}
	}
	for e := range resolved {
		fmt.Fprintln(b, e.Ref)
	}
	return b.Flush()
}

// before compares as Entries sorts; two entries of one Ref are never sorted.
func before(a, b Entry) int {
	if a.Ref == b.Ref {
		return -1
	}
	return strings.Compare(a.Ref, b.Ref)
}

// word is s as one word of a note, in visible ASCII.
func word(s string) string {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return unknown
	}
	return s
}

// Notes are what the notes of a list say. The zero value is empty and ready for use.
type Notes struct {
	// Release is nil where none is named.
	Release       *bundle.Release
	Architectures []string
	// archs find the duplicates of Architectures.
	archs words
	// names are further names, by reference.
	names map[string][]string
	// roles are by reference.
	roles map[string]string
}

// Read takes a line of a list, without its end. It returns false where the line is no
// note, and an error that wraps ErrNote where it is a bad one.
func (n *Notes) Read(line string) (bool, error) {
	text, ok := strings.CutPrefix(strings.TrimSpace(line), Note)
	if !ok {
		return false, nil
	}
	words := strings.Fields(text)
	if len(words) == 0 {
		return true, fmt.Errorf("%w: it says nothing", ErrNote)
	}
	var err error
	switch args := words[1:]; words[0] {
	case "release":
		err = n.release(args)
	case "architectures":
		err = n.architectures(args)
	case "name":
		err = n.name(args)
	case "role":
		err = n.role(args)
	}
	if err != nil {
		return true, fmt.Errorf("%w: %s: %w", ErrNote, words[0], err)
	}
	return true, nil
}

// maxArchitectures bounds the architectures of a list: Go knows some 30.
const maxArchitectures = 100

func (n *Notes) architectures(args []string) error {
	for _, arch := range args {
		if len(n.archs.values) == maxArchitectures && !n.archs.has(arch) {
			return fmt.Errorf("more than %d of them", maxArchitectures)
		}
		n.archs.add(arch)
	}
	n.Architectures = n.archs.sorted()
	return nil
}

func (n *Notes) release(args []string) error {
	if len(args) != 2 {
		return errors.New("want a version and an image")
	}
	r := bundle.Release{Version: strings.TrimPrefix(args[0], unknown)}
	if args[1] != unknown {
		ref, err := Normalize(args[1])
		if err != nil {
			return err
		}
		r.Image = ref
	}
	if n.Release == nil {
		n.Release = &r
	}
	return nil
}

func (n *Notes) name(args []string) error {
	if len(args) != 2 {
		return errors.New("want a name and the reference by digest that it means")
	}
	name, err := Normalize(args[0])
	if err != nil {
		return err
	}
	ref, err := byDigest(args[1])
	if err != nil {
		return err
	}
	if n.names == nil {
		n.names = make(map[string][]string)
	}
	n.names[ref] = append(n.names[ref], name)
	return nil
}

func (n *Notes) role(args []string) error {
	if len(args) != 2 {
		return errors.New("want a role and the reference by digest that has it")
	}
	ref, err := byDigest(args[1])
	if err != nil {
		return err
	}
	if n.roles == nil {
		n.roles = make(map[string]string)
	}
	n.roles[ref] = args[0]
	return nil
}

// byDigest normalises a reference that must have a digest.
func byDigest(text string) (string, error) {
	ref, err := Normalize(text)
	if err != nil {
		return "", err
	}
	if _, d := Split(ref); d == "" {
		return "", fmt.Errorf("%s has no digest", ref)
	}
	return ref, nil
}

// Apply gives the names and roles to those references that l has.
func (n *Notes) Apply(l *List) {
	for _, e := range l.Entries() {
		if names, role := n.names[e.Ref], n.roles[e.Ref]; len(names) > 0 || role != "" {
			l.Put(Entry{Ref: e.Ref, Names: names, Role: role})
		}
	}
}
