package bundle

import "github.com/opencontainers/go-digest"

// CheckImages checks each image of a sorted inventory as Validate does, and returns the errors
// by the number of the image. Of images that clash by their names only one is among them.
func (inv *Inventory) CheckImages() map[int]error {
	whole := inv.Whole()
	blobs := make(map[digest.Digest]Blob, len(whole.Blobs))
	for _, b := range whole.Blobs {
		blobs[b.Digest] = b
	}
	bad := make(map[int]error)
	for i := range inv.Images {
		if err := inv.validateImage(&inv.Images[i], blobs); err != nil {
			bad[i] = err
		}
	}
	if i, err := checkNames(inv.Images); err != nil && bad[i] == nil {
		bad[i] = err
	}
	return bad
}
