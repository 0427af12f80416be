package imagelist

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/jsonbound"
	"github.com/nodeseal/nodeseal/internal/longjson"
)

// FormatV1 is the value of Document.Format.
const FormatV1 = "nodeseal list v1"

// maxDocument bounds a document that is read, in bytes.
const maxDocument = 32 << 20

// ErrDocument is wrapped by every error about a list that breaks the format.
var ErrDocument = errors.New("image list is not valid")

// Document is a list as `nodeseal list --json` prints it and `--images` reads
// it, with what was learned of the cluster besides: enough to make a bundle where
// the cluster cannot be reached.
type Document struct {
	// Format is FormatV1.
	Format  string          `json:"format"`
	Release *bundle.Release `json:"release,omitempty"`
	// Architectures are those of the nodes, in the words of GOARCH, sorted.
	Architectures []string `json:"architectures,omitempty"`
	// Images are sorted by reference.
	Images []Entry `json:"images"`
	// Mirrors say where the cluster has the bytes from.
	Mirrors []Mirror `json:"mirrors,omitempty"`
	// Signatures are those of releases.
	Signatures []Signature `json:"signatures,omitempty"`
	// Problems are what could not be read, in words: the list may lack images.
	Problems []string `json:"problems,omitempty"`
	// Unresolved are the references of Images that have no digest, and why.
	Unresolved []Unresolved `json:"unresolved,omitempty"`
}

// Unresolved is a reference that could not be resolved.
type Unresolved struct {
	Ref   string `json:"ref"`
	Error string `json:"error"`
	// From is where it was found.
	From []bundle.Origin `json:"from,omitempty"`
}

// List returns the document's images.
func (d Document) List() *List {
	l := new(List)
	for _, e := range d.Images {
		l.Put(e)
	}
	return l
}

// WriteJSON writes the document as indented JSON with a final newline, an image at a time.
func (d Document) WriteJSON(w io.Writer) error {
	d.Format = FormatV1
	images := d.Images
	if images != nil {
		d.Images = []Entry{}
	}
	if err := longjson.Write(w, d, "images", slices.Values(images)); err != nil {
		return fmt.Errorf("encoding image list: %w", err)
	}
	return nil
}

// entries are the images of a document that is read.
type entries []Entry

// UnmarshalJSON implements json.Unmarshaler. It ends at the first image that is too much: a
// document can have more of them than its length says ("[{},{},...").
func (e *entries) UnmarshalJSON(data []byte) error {
	*e = nil
	if data[0] != '[' { // null, or no list
		return json.Unmarshal(data, (*[]Entry)(e))
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if _, err := dec.Token(); err != nil {
		return err
	}
	for dec.More() {
		if len(*e) == MaxImages {
			return fmt.Errorf("%w: more than %d images", ErrTooMany, MaxImages)
		}
		var one Entry
		if err := dec.Decode(&one); err != nil {
			return err
		}
		*e = append(*e, one)
	}
	return nil
}

// ReadDocument reads what WriteJSON wrote. Every reference is normalised and its
// digest checked against the one beside it. Errors wrap ErrDocument, but for
// those of r.
func ReadDocument(r io.Reader) (*Document, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("reading image list: %w", err)
	}
	if len(data) > maxDocument {
		return nil, fmt.Errorf("%w: %w: more than %d bytes", ErrDocument, ErrTooMany, maxDocument)
	}
	var d Document
	read := struct {
		*Document
		Images entries `json:"images"`
	}{Document: &d}
	if err := jsonbound.Unmarshal(data, &read); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	d.Images = read.Images
	if d.Format != FormatV1 {
		return nil, fmt.Errorf("%w: format %q, want %q", ErrDocument, d.Format, FormatV1)
	}
	for i := range d.Images {
		e := &d.Images[i]
		ref, err := Normalize(e.Ref)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDocument, err)
		}
		if _, own := Split(ref); own != "" && e.Digest != "" && own != e.Digest {
			return nil, fmt.Errorf("%w: %s: digest %q beside it", ErrDocument, ref, e.Digest)
		}
		if e.Digest != "" {
			if err := e.Digest.Validate(); err != nil {
				return nil, fmt.Errorf("%w: %s: digest %q: %w", ErrDocument, ref, e.Digest, err)
			}
		}
		e.Ref = ref
	}
	return &d, nil
}

// Unresolved returns the entries that no digest is known of, sorted.
func (l *List) Unresolved() []Entry {
	return slices.DeleteFunc(l.Entries(), func(e Entry) bool { return e.Digest != "" })
}

// Change is how a list differs from an older one, by reference.
type Change struct {
	Added   []Entry `json:"added"`
	Removed []Entry `json:"removed"`
}

// Diff returns what l has that old lacks, and the other way round.
func Diff(old, l *List) Change {
	only := func(a, b *List) []Entry {
		return slices.DeleteFunc(a.Entries(), func(e Entry) bool { return b.entries[e.Ref] != nil })
	}
	return Change{Added: only(l, old), Removed: only(old, l)}
}
