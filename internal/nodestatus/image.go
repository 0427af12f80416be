package nodestatus

import (
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/store/image"
)

// isImage reports whether a slot's store is an image, also one without its file.
func (c *collector) isImage(s *slot.Slot) (bool, error) {
	mounted, err := seal.ImageMounted(s.Path)
	return s.Image != "" || mounted, err
}

// image looks at the image of a slot.
func (c *collector) image(out *Slot, s *slot.Slot) (seal.Report, error) {
	var err error
	if out.Source, err = seal.ImageSource(s.Path); err != nil {
		return seal.Report{}, err
	}
	if out.Image = s.Image; s.Image == "" {
		c.problem(s.Path, "the file of its image is gone: the slot is empty after a restart")
		return seal.Report{Mounted: true}, nil
	}
	if out.Digest, err = image.ReadDigest(s.Image); err != nil {
		c.warn(s.Image, "%v: nodeseal verify %s --repair BUNDLE records it again", err, s.Path)
	}
	return seal.ImageState(s.Image, s.Path)
}
