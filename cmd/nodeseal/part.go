package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store"
)

// partOptions say what of a bundle is imported.
type partOptions struct {
	images    []string
	noDevices bool
}

func (o *partOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringArrayVar(&o.images, "images", nil, "import only the references of this `LIST`, in any form that nodeseal bundle reads; - is standard input; may be repeated")
	flags.BoolVar(&o.noDevices, "no-devices", false, "refuse layers with device nodes; whiteouts are none")
}

// choose returns what is imported of src, the bundle at path. It wants every
// reference of the lists to be there; the error wraps errLacks.
func (o *partOptions) choose(a *app, path string, src store.Source) (store.Source, error) {
	if len(o.images) == 0 {
		return src, nil
	}
	list, err := readLists(a, o.images)
	if err != nil {
		return nil, err
	}
	if lacks := missing(src.Inventory(), list); len(lacks) > 0 {
		return nil, fmt.Errorf("importing %s: %s of the list %w:\n  %s", path,
			plural(len(lacks), "reference"), errLacks, strings.Join(lacks, "\n  "))
	}
	wanted := make(map[string]bool)
	for _, e := range list.Entries() {
		for _, ref := range append([]string{e.Ref}, e.Names...) {
			wanted[ref] = true
		}
	}
	part, err := store.Part(src, func(img *bundle.Image) bool {
		for _, name := range img.Names {
			if wanted[name] {
				return true
			}
		}
		return wanted[img.Ref]
	})
	if err != nil {
		return nil, fmt.Errorf("importing %s: %w", path, err)
	}
	return part, nil
}

// needRoot refuses ordinary users before anything is done. Root of a user
// namespace will do.
func needRoot() error {
	if uid := os.Geteuid(); uid != 0 {
		return preconditionError{fmt.Errorf("importing as user %d: %w", uid, errNotRoot)}
	}
	return nil
}
