package check

import (
	"context"
	"errors"
	"fmt"

	"github.com/nodeseal/nodeseal/internal/store"
)

// Unseen is a name that the library does not find, or finds as something else.
type Unseen struct {
	Name string
	Err  error
}

// Visible opens the additional stores, in this order, from an empty primary
// store in the directory scratch, which is made and removed, and looks for each
// reference as a pod would. It returns those that are not found. The error says
// that the stores cannot be opened or listed at all: CRI-O and podman would not
// start with them, or see no image. Nothing of the stores is changed.
func Visible(ctx context.Context, stores []string, scratch string, refs []store.Reference) (unseen []Unseen, err error) {
	options := make([]string, len(stores))
	for i, s := range stores {
		options[i] = "overlay.imagestore=" + s
	}
	lib, err := open(scratch, options)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lib.close()) }()
	images, err := lib.store.Images()
	if err != nil {
		return nil, fmt.Errorf("listing images: %w", err)
	}
	ids := make(map[string]string)
	digests := make(map[string]bool)
	for _, img := range images {
		for _, name := range img.Names {
			if _, ok := ids[name]; !ok {
				ids[name] = img.ID
			}
		}
		for _, d := range img.Digests {
			digests[img.ID+" "+d.String()] = true
		}
	}
	for _, ref := range refs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		switch id, ok := ids[ref.Name]; {
		case !ok:
			unseen = append(unseen, Unseen{Name: ref.Name, Err: errors.New("no image has the name")})
		case id != ref.ImageID:
			unseen = append(unseen, Unseen{Name: ref.Name, Err: fmt.Errorf("it is image %.12s, want %.12s", id, ref.ImageID)})
		case !digests[id+" "+ref.Digest.String()]:
			unseen = append(unseen, Unseen{Name: ref.Name, Err: fmt.Errorf("its image is not found by the digest %s", ref.Digest)})
		}
	}
	return unseen, nil
}
