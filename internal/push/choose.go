package push

import (
	"fmt"
	"strings"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/install"
)

// Choose returns Options.Want for the images of a list, if there is one, that a filter keeps. warn
// is told of patterns of the filter that no image matches. The error wraps install.ErrLacks if the
// bundle does not hold an image of the list.
func Choose(inv *bundle.Inventory, list *imagelist.List, filter imagelist.Filter, warn func(string)) (want func(*bundle.Image) bool, err error) {
	listed := func(*bundle.Image) bool { return true }
	if list != nil {
		if lacks := install.Missing(inv, list); len(lacks) > 0 {
			return nil, fmt.Errorf("%s of the list %w:\n  %s", count(len(lacks), "reference"), install.ErrLacks, strings.Join(lacks, "\n  "))
		}
		listed = install.Wanted(list)
	}
	entries := make([]imagelist.Entry, len(inv.Images))
	for i := range inv.Images {
		entries[i] = entry(&inv.Images[i])
	}
	for _, pattern := range filter.Unmatched(entries) {
		warn("no image matches " + pattern)
	}
	return func(img *bundle.Image) bool { return listed(img) && filter.Keeps(entry(img)) }, nil
}

func entry(img *bundle.Image) imagelist.Entry { return imagelist.Entry{Ref: img.Ref, Names: img.Names} }
