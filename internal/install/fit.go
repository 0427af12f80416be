package install

import (
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/store"
)

// Fit makes the bundle s the one that the store in the directory path was made of: all of it,
// or only the images that an import has chosen. Which these were is remembered for a slot,
// and the store's own inventory and the list, which may be nil, may tell; a choice counts
// only if its inventory has the digest that the store was made of. The error is a
// *slot.OtherBundleError if none does.
func (s *Source) Fit(path string, list *imagelist.List) error {
	if s.src == nil {
		return nil
	}
	err := madeOf(path, s.src)
	var other *slot.OtherBundleError
	if !errors.As(err, &other) {
		return err
	}
	guesses, gerr := guess(path, list)
	if gerr != nil {
		return gerr
	}
	for _, want := range guesses {
		part, chosen, err := choose(s.src, want)
		if err != nil {
			return fmt.Errorf("choosing images of %s: %w", s.path, err)
		}
		if digest.FromBytes(part.RawInventory()) == other.Want {
			s.src, s.chosen = part, chosen
			return nil
		}
	}
	if list != nil {
		return fmt.Errorf("%w; nor was it made of the images of the list alone", err)
	}
	return fmt.Errorf("%w; if import --images or --without chose images of this one, name those with --images LIST, too", err)
}

// madeOf returns a *slot.OtherBundleError if the store in the directory path was made of
// another bundle than src.
func madeOf(path string, src store.Source) error {
	if root, name, ok := slot.Find(path, slot.Options{}); ok {
		return root.MadeOf(name, src)
	}
	return slot.StoreMadeOf(path, src)
}

// guess returns choices of images of which one may be that of the store in the directory path.
func guess(path string, list *imagelist.List) (guesses []func(*bundle.Image) bool, err error) {
	if root, name, ok := slot.Find(path, slot.Options{}); ok {
		chosen, err := root.Chosen(name)
		if err != nil {
			return nil, err
		}
		guesses = append(guesses, marked(chosen))
	}
	if inv, err := form.Inventory(path); err == nil { // else the damage is there
		guesses = append(guesses, among(inv.Images))
	}
	if list != nil {
		guesses = append(guesses, Wanted(list))
	}
	return guesses, nil
}

// choose is store.Part, and returns slot.Times.Chosen too.
func choose(src store.Source, want func(*bundle.Image) bool) (part store.Source, chosen []byte, err error) {
	chosen = make([]byte, (len(src.Inventory().Images)+7)/8)
	i := -1
	part, err = store.Part(src, func(img *bundle.Image) bool {
		i++
		if !want(img) {
			return false
		}
		chosen[i/8] |= 1 << (i % 8)
		return true
	})
	return part, chosen, err
}

// marked chooses the images that slot.Times.Chosen says, which may be of any length. It is
// for one call of choose.
func marked(chosen []byte) func(*bundle.Image) bool {
	i := -1
	return func(*bundle.Image) bool {
		i++
		return i/8 < len(chosen) && chosen[i/8]&(1<<(i%8)) != 0
	}
}

// among chooses images by reference and manifest.
func among(images []bundle.Image) func(*bundle.Image) bool {
	type key struct {
		ref    string
		digest digest.Digest
	}
	keys := make(map[key]bool, len(images))
	for i := range images {
		keys[key{images[i].Ref, images[i].Digest}] = true
	}
	return func(img *bundle.Image) bool { return keys[key{img.Ref, img.Digest}] }
}
