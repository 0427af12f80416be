package result

import (
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/mirror"
	"github.com/nodeseal/nodeseal/internal/ui"
)

// Attached is what bundle prints of signatures and other referrers.
type Attached struct {
	// Attachments is how many different ones there are, Bytes the size of their blobs.
	Attachments int   `json:"attachments"`
	Bytes       int64 `json:"bytes"`
	// Unsigned are the images of which no signature was found.
	Unsigned []string `json:"unsigned"`
	// NotCarried are attachments that are not in the bundle, and why.
	NotCarried []FailedImage `json:"notCarried,omitempty"`
}

// NewAttached is nil where none were looked for.
func NewAttached(o mirror.Options, found mirror.Attached) *Attached {
	if o.Attachments == nil {
		return nil
	}
	return &Attached{
		Attachments: found.Count, Bytes: found.Bytes,
		Unsigned: append([]string{}, found.Unsigned...), NotCarried: NewFailed(found.Problems),
	}
}

// CarriedBy sums up the attachments of a bundle or store, nil where it has
// none.
func CarriedBy(inv *bundle.Inventory) *Attached {
	if inv == nil {
		return nil
	}
	out := &Attached{Unsigned: []string{}}
	seen := make(map[digest.Digest]bool)
	for i := range inv.Images {
		img := &inv.Images[i]
		if !img.Signed() {
			out.Unsigned = append(out.Unsigned, img.Ref)
		}
		for _, a := range img.Attachments {
			if !seen[a.Digest] {
				seen[a.Digest] = true
				out.Attachments++
			}
		}
	}
	for _, b := range inv.Blobs {
		if b.Kind == bundle.KindAttachment {
			out.Bytes += b.Size
		}
	}
	if out.Attachments == 0 {
		return nil
	}
	return out
}

// Line shows it in one line, of so many images; a nil one is not shown.
func (r *Attached) Line(line func(format string, args ...any), images int) {
	if r == nil {
		return
	}
	line("%s, %s; %d of %d images are signed", Plural(r.Attachments, "attachment"), ui.Bytes(r.Bytes), images-len(r.Unsigned), images)
}

// attachmentCounts says how many attachments of which kind there are.
func attachmentCounts(all []bundle.Attachment) string {
	counts := make(map[string]int)
	text := ""
	for _, a := range all {
		counts[a.Kind]++
	}
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		if text != "" {
			text += ", "
		}
		text += Plural(counts[kind], kind)
	}
	return text
}

// FailedImage is an image, or an attachment, that could not be had, and why.
type FailedImage struct {
	Ref   string `json:"ref"`
	Error string `json:"error"`
}

// NewFailed describes the failures of a run.
func NewFailed(failed []*mirror.ImageError) []FailedImage {
	out := make([]FailedImage, len(failed))
	for i, f := range failed {
		out[i] = FailedImage{Ref: f.Ref, Error: f.Err.Error()}
	}
	return out
}
