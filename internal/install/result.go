package install

import (
	"github.com/nodeseal/nodeseal/internal/base"
	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/image"
)

// Result says what Run or Repair did.
type Result struct {
	// Path is the store's directory, or the file of an image that is not mounted here.
	Path string
	// Slot is the slot that was filled, or holds the source already.
	Slot slot.Name
	// Already says that the store was there before. The counts are zero then, and also
	// if an earlier run had finished the import.
	Already bool
	store.Counts
	// Based counts the layers that the bundle left to its base, Base names where they
	// were.
	Based int
	Base  []string
	// File is the image that holds the store, "" for a directory; Image are its facts, zero
	// if it was not made now.
	File  string
	Image image.Facts
	// Signature is the file with the signature of the image's digest.
	Signature string
	// Seal is nil if nothing was sealed.
	Seal *seal.Report
}

func newResult(f *slot.Filled) *Result {
	r := &Result{Path: f.Path, Slot: f.Slot, Already: f.Already, Seal: f.Seal}
	if f.Counts != nil {
		r.Counts = *f.Counts
	}
	if f.Image != nil {
		r.Image = *f.Image
	}
	if file, ok := form.FileOf(f.Path); ok {
		r.File = file
	}
	return r
}

// addBase adds what came from the base, unless nothing was imported.
func (r *Result) addBase(w *base.Completed) {
	if w.Base != nil && !r.Already {
		r.Based, r.Base = w.Base.Layers(), w.Base.Paths()
	}
}
