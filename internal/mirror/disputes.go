package mirror

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/compression"
)

// disputes are the layers of which images say different diff IDs: one of these is right at
// most. They are fetched one after the other, when all other layers are there: what proves one
// image's word refutes the others', and each fails or not by itself.
type disputes struct {
	digests map[digest.Digest]bool
	jobs    []*job
}

func newDisputes(images []bundle.Image) *disputes {
	d := &disputes{digests: make(map[digest.Digest]bool)}
	said := make(map[digest.Digest]digest.Digest)
	for i := range images {
		for _, l := range images[i].Layers {
			if images[i].Artifact {
				continue // it says nothing of what is in a layer
			}
			if other, ok := said[l.Digest]; ok && other != l.DiffID {
				d.digests[l.Digest] = true
			}
			said[l.Digest] = l.DiffID
		}
	}
	return d
}

func (d *disputes) is(layer digest.Digest) bool { return d.digests[layer] }

// job returns the job of a layer with its diff ID, nil if it has no job yet.
func (d *disputes) job(l bundle.Layer) *job {
	for _, j := range d.jobs {
		if j.layer.Digest == l.Digest && j.layer.DiffID == l.DiffID {
			return j
		}
	}
	return nil
}

func (d *disputes) add(j *job) { d.jobs = append(d.jobs, j) }

// group returns all jobs as one, nil if no layer is disputed.
func (d *disputes) group() *job {
	if len(d.jobs) == 0 {
		return nil
	}
	d.jobs[0].also = d.jobs[1:]
	return d.jobs[0]
}

// wrongDiffID says that a layer expands to is.
func wrongDiffID(is digest.Digest, l bundle.Layer) error {
	return fmt.Errorf("%w: it is %s, the configuration says %s", errDiffID, is, l.DiffID)
}

// undisputed holds a layer that the work directory has as the registry has it to the diff ID
// of j, if images disagree about it or an earlier version did not note which it has.
func (r *run) undisputed(ctx context.Context, j *job) error {
	form := r.formOf(j.layer)
	if r.isRaw(j.layer) || form == bundle.Expanded || form == bundle.Original && !j.disputed {
		return nil
	}
	in, _, err := r.work.OpenLayer(j.layer.Digest, j.blob, form)
	if err != nil {
		return err
	}
	defer in.Close()
	plain, err := compression.NewReader(ctx, in)
	if err != nil {
		return err
	}
	defer plain.Close() //nolint:errcheck // it only gives memory back
	is, err := digest.SHA256.FromReader(onlyReader{plain})
	switch {
	case err != nil:
		return fmt.Errorf("expanding: %w", err)
	case is != j.layer.DiffID:
		return wrongDiffID(is, j.layer)
	}
	return nil
}
