package answer

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/docker/reference"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/answer/repopath"
	"github.com/nodeseal/nodeseal/internal/store"
)

// view is one store as it was when it was read. It is not changed.
type view struct {
	dir  string
	mark mark
	// err says what is wrong with it. What could be read is answered all the same.
	err   error
	store *store.Store
	// tags are by the repository's name here, then by tag.
	tags map[string]map[string]digest.Digest
	// repositories are the names here of all repositories.
	repositories map[string]repository
	// configs and layers say what blobs there are; a layer is by its diff ID.
	configs map[digest.Digest]string
	layers  map[digest.Digest]layer
	// compressed are the registry's digests of layers, and the diff ID of each.
	compressed map[digest.Digest]digest.Digest
	// originals are the layers that the store keeps as the registry has them, with their sizes.
	originals map[digest.Digest]int64
	// attachments says of each blob of a signature or referrer whether it is a manifest.
	attachments map[digest.Digest]bool
	// referrers are the manifests that name a manifest as their subject.
	referrers map[digest.Digest][]digest.Digest
	// signatures are the simple signatures of a manifest.
	signatures map[digest.Digest][]digest.Digest
}

// repository is what a name here stands for.
type repository struct{ host, path string }

// layer is where a layer is in its store.
type layer struct {
	id   string
	size int64
}

// open reads the store in dir. It does not fail: see view.err.
func open(dir string, m mark) *view {
	v := &view{
		dir: dir, mark: m,
		tags:         make(map[string]map[string]digest.Digest),
		repositories: make(map[string]repository),
		configs:      make(map[digest.Digest]string),
		layers:       make(map[digest.Digest]layer),
		compressed:   make(map[digest.Digest]digest.Digest),
		originals:    make(map[digest.Digest]int64),
		attachments:  make(map[digest.Digest]bool),
		referrers:    make(map[digest.Digest][]digest.Digest),
		signatures:   make(map[digest.Digest][]digest.Digest),
	}
	if v.store, v.err = store.Open(store.Files(dir)); v.err != nil {
		return v
	}
	for _, img := range v.store.Images {
		v.configs[digest.NewDigestFromEncoded(digest.SHA256, img.ID)] = img.ID
	}
	for _, l := range v.store.Layers {
		v.layers[l.UncompressedDigest] = layer{id: l.ID, size: l.UncompressedSize}
		v.compressed[l.CompressedDigest] = l.UncompressedDigest
	}
	// Without its lock files CRI-O does not start, or finds no image.
	v.err = errors.Join(v.addNames(), store.CheckLocks(store.Files(dir)))
	return v
}

// addName adds what a reference of the store names. One that is not valid is no
// pod's either.
func (v *view) addName(name string, d digest.Digest) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return
	}
	key := v.addRepository(named)
	if tagged, ok := named.(reference.Tagged); ok {
		v.addTag(key, tagged.Tag(), d)
	}
}

func (v *view) addRepository(named reference.Named) string {
	key := repopath.Of(named.Name())
	v.repositories[key] = repository{host: reference.Domain(named), path: reference.Path(named)}
	return key
}

func (v *view) addTag(key, tag string, d digest.Digest) {
	if v.tags[key] == nil {
		v.tags[key] = make(map[string]digest.Digest)
	}
	v.tags[key][tag] = d
}

// addNames adds the references of the store, and what the bundle's inventory says
// beyond the records: layers under further compressed digests, and attachments. The
// records are not believed: a name is answered if an image has it that its own blobs
// prove. The other images are the error. A store that another program wrote has no
// inventory, and its names count as they are.
func (v *view) addNames() error {
	stored, err := store.OpenStored(store.Files(v.dir))
	if errors.Is(err, fs.ErrNotExist) {
		for _, ref := range v.store.References {
			v.addName(ref.Name, ref.Digest)
		}
		return nil
	}
	if err != nil {
		return err
	}
	proven := make(map[store.Reference]bool)
	var broken []error
	kept := stored.Kept()
	for i := range kept {
		img := &kept[i]
		for _, l := range img.Layers {
			if _, ok := v.layers[l.DiffID]; ok && !img.Artifact {
				v.compressed[l.Digest] = l.DiffID
			}
		}
		if _, err := store.ProveImage(context.Background(), stored, img); err != nil {
			broken = append(broken, err)
			continue
		}
		for _, ref := range store.ReferencesOf(img) {
			proven[ref] = true
		}
		for _, o := range store.Originals(kept[i : i+1]) {
			v.originals[o.Digest] = o.Size
		}
		if img.Artifact {
			v.addArtifact(img)
		}
		broken = append(broken, v.addAttachments(stored, img)...)
	}
	for _, ref := range v.store.References {
		if proven[ref] {
			v.addName(ref.Name, ref.Digest)
		} else {
			broken = append(broken, store.UnprovenName(ref))
		}
	}
	return errors.Join(broken...)
}

// addArtifact adds an artifact, which is proven. The records of a store do not know it: its
// small blobs are kept as those of attachments are.
func (v *view) addArtifact(img *bundle.Image) {
	v.attachments[img.Digest] = true
	if img.Index != "" {
		v.attachments[img.Index] = true
	}
	if _, known := v.attachments[img.Config.Digest]; !known {
		v.attachments[img.Config.Digest] = false
	}
	for _, ref := range store.ReferencesOf(img) {
		v.addName(ref.Name, ref.Digest)
	}
}

// addAttachments adds the attachments of img, and returns what is wrong with others.
func (v *view) addAttachments(stored *store.Stored, img *bundle.Image) (broken []error) {
	for _, a := range img.Attachments {
		data, err := store.ProveAttachment(context.Background(), stored, img, &a)
		if err != nil {
			broken = append(broken, err)
			continue
		}
		if a.Key != "" {
			v.addSignature(&a)
			continue
		}
		v.attachments[a.Digest] = true
		for _, d := range a.Blobs {
			if _, known := v.attachments[d]; !known {
				v.attachments[d] = false
			}
		}
		if subject := subjectOf(data); subject != "" && !slices.Contains(v.referrers[subject], a.Digest) {
			v.referrers[subject] = append(v.referrers[subject], a.Digest)
		}
		if a.Tag == "" {
			continue
		}
		for _, name := range append([]string{img.Ref}, img.Names...) {
			if named, err := reference.ParseNormalizedNamed(name); err == nil {
				v.addTag(v.addRepository(named), a.Tag, a.Digest)
			}
		}
	}
	return broken
}

// addSignature adds a signature that is no manifest. Its digest is that of a
// blob that nobody asks for by it.
func (v *view) addSignature(a *bundle.Attachment) {
	subject := a.Subject()
	if subject != "" && a.Signs() && !slices.Contains(v.signatures[subject], a.Digest) {
		v.signatures[subject] = append(v.signatures[subject], a.Digest)
	}
}
