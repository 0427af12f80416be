package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/jsonbound"
	"github.com/opencontainers/go-digest"
	"go.podman.io/storage"
)

// Store is a written store, read without the library's locks: what it holds
// does not change. It is safe for use by many goroutines.
type Store struct {
	fsys fs.FS
	// Images and Layers are the store's records, in their order.
	Images []storage.Image
	Layers []storage.Layer
	// References are all names and what they name, sorted by name.
	References []Reference
	// Artifacts are the names of OCI artifacts and what they name, sorted by name; none of
	// them has an ImageID.
	Artifacts []Reference
	// byDigest are the records whose big data has a manifest.
	byDigest map[digest.Digest]*storage.Image
	// own says that the store has an inventory: nodeseal has put something into it.
	own bool
}

// ErrUnknown is wrapped where a store does not have what is asked for.
var ErrUnknown = errors.New("store does not have it")

// Open reads the records of the store in fsys (os.DirFS of its directory). The
// error wraps fs.ErrNotExist where there is no store. A store that nodeseal did
// not write has no References but those that its names give.
func Open(fsys fs.FS) (*Store, error) {
	s := &Store{fsys: fsys, byDigest: make(map[digest.Digest]*storage.Image)}
	if err := readJSON(fsys, layersFile, &s.Layers); err != nil {
		return nil, err
	}
	if err := readJSON(fsys, imagesFile, &s.Images); err != nil {
		return nil, err
	}
	for i := range s.Images {
		for key, d := range s.Images[i].BigDataDigests {
			if strings.HasPrefix(key, storage.ImageDigestManifestBigDataNamePrefix+"-") {
				s.byDigest[d] = &s.Images[i]
			}
		}
	}
	s.readArtifacts()
	err := readJSON(fsys, referencesFile, &s.References)
	if errors.Is(err, fs.ErrNotExist) {
		s.References, err = s.namesAsReferences(), nil
	}
	return s, err
}

// ReadLayers reads the layers' records of the store in fsys.
func ReadLayers(fsys fs.FS) (layers []storage.Layer, err error) {
	return layers, readJSON(fsys, layersFile, &layers)
}

// namesAsReferences makes references of the records' names alone.
func (s *Store) namesAsReferences() []Reference {
	var refs []Reference
	for _, img := range s.Images {
		for _, name := range img.Names {
			d := img.BigDataDigests[storage.ImageDigestBigDataKey]
			if _, after, ok := strings.Cut(name, "@"); ok {
				d = digest.Digest(after)
			}
			refs = append(refs, Reference{Name: name, Digest: d, ImageID: img.ID})
		}
	}
	slices.SortFunc(refs, func(a, b Reference) int { return strings.Compare(a.Name, b.Name) })
	return refs
}

// Manifest returns the manifest or manifest list with digest d, verified. The
// error wraps ErrUnknown or ErrDamaged.
func (s *Store) Manifest(d digest.Digest) ([]byte, error) {
	img := s.byDigest[d]
	if img == nil {
		return nil, fmt.Errorf("manifest %s: %w", d, ErrUnknown)
	}
	return s.verified(ImagesDir+"/"+img.ID+"/"+bigDataFile(manifestKey(d)), d)
}

// Manifests returns the digests of all manifests and manifest lists, sorted.
func (s *Store) Manifests() []digest.Digest { return slices.Sorted(maps.Keys(s.byDigest)) }

// Config returns the configuration of the image with the given ID, verified.
func (s *Store) Config(imageID string) ([]byte, error) {
	d := digest.NewDigestFromEncoded(digest.SHA256, imageID)
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("configuration %q: %w", imageID, ErrUnknown)
	}
	return s.verified(ImagesDir+"/"+imageID+"/"+bigDataFile(d.String()), d)
}

// Attachment returns a signature's or another referrer's blob, verified.
func (s *Store) Attachment(d digest.Digest) ([]byte, error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("attachment %q: %w", d, ErrUnknown)
	}
	return s.verified(attachmentsDir+"/"+d.Encoded(), d)
}

// RawInventory returns the inventory of the bundle that the store was made of.
func (s *Store) RawInventory() ([]byte, error) {
	data, err := readBounded(s.fsys, InventoryFile, bundle.MaxInventory)
	if err != nil {
		return nil, fmt.Errorf("reading the store's inventory: %w", err)
	}
	return data, nil
}

func (s *Store) verified(name string, d digest.Digest) ([]byte, error) {
	data, err := readBounded(s.fsys, name, bundle.MaxSmallBlob)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", d, ErrUnknown)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", d, err)
	}
	if got := digest.FromBytes(data); got != d {
		return nil, &Error{Kind: ErrDamaged, Op: "reading", Digest: d, Err: fmt.Errorf("its digest is %s", got)}
	}
	return data, nil
}

func readJSON(fsys fs.FS, name string, v any) error {
	data, err := readBounded(fsys, name, maxRecords)
	if err != nil {
		return fmt.Errorf("reading store: %w", err)
	}
	if err := decodeRecords(data, v); err != nil {
		return &Error{Kind: ErrDamaged, Op: "reading store: " + name, Err: err}
	}
	return nil
}

// decodeRecords decodes a list of records of a store, which somebody may have changed.
func decodeRecords(data []byte, v any) error {
	if err := checkRecords(data); err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

// checkRecords refuses records that would take too much memory.
func checkRecords(data []byte) error {
	if len(data) > maxRecords {
		return fmt.Errorf("%w: %d bytes, at most %d are read", jsonbound.ErrBound, len(data), maxRecords)
	}
	return jsonbound.CheckRecords(data)
}
