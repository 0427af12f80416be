package image

import (
	"context"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// openDonors opens what layers are taken from.
func (im *importer) openDonors() {
	for _, path := range im.opts.Reuse {
		d, err := openDonor(path)
		if err != nil {
			im.opts.Progress.Warn(fmt.Sprintf("nothing is taken from %s: %v", path, err))
			continue
		}
		d.number = len(im.donors)
		im.donors = append(im.donors, d)
	}
}

func (im *importer) closeDonors() {
	for _, d := range im.donors {
		d.close()
	}
}

// dropDonor goes on without a donor that is damaged.
func (im *importer) dropDonor(damaged *donorError) {
	im.opts.Progress.Warn(fmt.Sprintf("nothing is taken from %s, which is damaged: %v", damaged.donor.path, damaged.err))
	im.donors = slices.DeleteFunc(im.donors, func(d *donor) bool { return d == damaged.donor })
	damaged.donor.close()
}

// donorOf returns a store that has the content of j, nil where none has.
func (im *importer) donorOf(j *job) *donor {
	if j.left {
		return nil
	}
	return im.donorWith(j.First().DiffID)
}

func (im *importer) donorWith(diffID digest.Digest) *donor {
	for _, d := range im.donors {
		if d.layers[diffID].id != "" {
			return d
		}
	}
	return nil
}

// needed are the images from which layers are to be taken, those that are kept as the
// registry has them too.
func (im *importer) needed() []*donor {
	var out []*donor
	for _, l := range im.plan.Layers {
		if d := im.donorWith(l.DiffID); d != nil && d.file != nil && !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	for _, d := range im.donors {
		if im.hasOriginal(d) && !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out
}

// proving makes an image while it hashes those that layers are taken from, and returns
// when all that has ended. Whatever was made of one that is damaged: the error is
// its *donorError then.
func (im *importer) proving(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	hashes, hashing := errgroup.WithContext(ctx)
	for _, d := range im.needed() {
		hashes.Go(func() error { return d.prove(hashing) })
	}
	proven := make(chan error, 1)
	go func() {
		err := hashes.Wait()
		if err != nil {
			cancel() // what is made is in vain
		}
		proven <- err
	}()
	err := do(ctx)
	if perr := <-proven; perr != nil {
		return perr
	}
	return err
}
