package mirror

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/ocp"
)

// errShared is wrapped where an artifact and an image have one blob for two things.
var errShared = errors.New("an artifact has the layer of an image as its configuration")

// artifact describes the artifact of a manifest, as image does an image. Of its
// configuration nothing is read.
func (r *run) artifact(ctx context.Context, ref string, manifest []byte, mediaType string) (bundle.Image, error) {
	img, err := bundle.DescribeArtifact(manifest, mediaType)
	if err != nil {
		return bundle.Image{}, err
	}
	if _, err := r.fetchSmall(ctx, ref, img.Config.Digest, img.Config.Size); err != nil {
		return bundle.Image{}, fmt.Errorf("configuration: %w", err)
	}
	return img, r.work.PutSmall(img.Digest, manifest)
}

// artifactLayers are the layers of the artifacts.
func artifactLayers(images []bundle.Image) map[digest.Digest]bool {
	out := make(map[digest.Digest]bool)
	for i := range images {
		for _, l := range images[i].Layers {
			if images[i].Artifact {
				out[l.Digest] = true
			}
		}
	}
	return out
}

// onlyArtifactLayers are the layers that no image has besides: of those the tar is wanted, too.
func onlyArtifactLayers(images []bundle.Image) map[digest.Digest]bool {
	out := artifactLayers(images)
	for i := range images {
		for _, l := range images[i].Layers {
			if !images[i].Artifact {
				delete(out, l.Digest)
			}
		}
	}
	return out
}

// artifactsLast returns the images, and then the artifacts: a layer that both have is fetched
// as the image's, of which more has to be known.
func artifactsLast(images []bundle.Image) []bundle.Image {
	out := slices.Clone(images)
	slices.SortStableFunc(out, func(a, b bundle.Image) int {
		switch {
		case a.Artifact == b.Artifact:
			return 0
		case b.Artifact:
			return -1
		}
		return 1
	})
	return out
}

// sayArtifacts says which nodes read the artifacts. They are carried in any case: a registry
// of the site, or a later release, may have a use for them.
func (r *run) sayArtifacts(images []bundle.Image) {
	n := 0
	for i := range images {
		if images[i].Artifact {
			n++
		}
		for _, name := range images[i].UnreadableNames() {
			r.o.Progress.Warn(fmt.Sprintf("%s: CRI-O reads no OCI artifact of this name, because its library takes no \"__\", \"---\" or \"..\" in one; only nodeseal serve answers it: "+
				"give the artifact another name if pods are to mount it", name))
		}
	}
	if n == 0 {
		return
	}
	version, known := ocp.Version{}, false
	if r.o.Release != nil {
		version, known = ocp.Read(r.o.Release.Version)
	}
	switch {
	case known && !version.ReadsArtifacts():
		r.o.Progress.Warn(fmt.Sprintf("%d OCI artifacts are carried, but nothing on nodes of OpenShift %s reads them: CRI-O mounts artifacts from %s on",
			n, version, ocp.FirstArtifacts()))
	case !known:
		r.o.Progress.Warn(fmt.Sprintf("%d OCI artifacts are carried: CRI-O mounts artifacts from 1.35 (OpenShift %s) on, nothing on earlier nodes reads them",
			n, ocp.FirstArtifacts()))
	}
}

// addArtifact adds the blobs of an artifact that are read whole. They go before the layers of
// all artifacts: an empty configuration is often a layer too.
func (a *assembly) addArtifact(img *bundle.Image) error {
	for _, s := range smallOf(img) {
		_, based := a.based[s.Digest]
		if b, ok := a.blobs[s.Digest]; based || ok && !b.Kind.Small() {
			return fmt.Errorf("%w: %s", errShared, s.Digest)
		}
		if err := a.addSmall(s.Digest, s.Kind); err != nil {
			return err
		}
	}
	return nil
}

func (a *assembly) addArtifactLayers(img *bundle.Image) error {
	for _, l := range img.Layers {
		if err := a.addArtifactLayer(l); err != nil {
			return err
		}
	}
	return nil
}

func (a *assembly) addArtifactLayer(l bundle.Layer) error {
	if _, ok := a.blobs[l.Digest]; ok {
		return nil
	}
	if _, ok := a.based[l.Digest]; ok {
		return nil
	}
	if b, ok := a.since.layer(l.Digest, true); ok {
		a.based[l.Digest] = b
		return nil
	}
	rec := a.work.Record(l.Digest, l.Digest, bundle.Original)
	if rec == nil {
		return fmt.Errorf("layer %s: the work directory lost it", l.Digest)
	}
	a.places[l.Digest] = place{compressed: l.Digest, blob: l.Digest, form: bundle.Original, size: rec.Size}
	a.blobs[l.Digest] = bundle.Blob{Digest: l.Digest, Size: rec.Size, Kind: bundle.KindArtifact}
	return nil
}
