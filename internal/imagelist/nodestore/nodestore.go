// Package nodestore takes images out of a node's containers-storage: the list of
// what is there, and the bytes, with the manifests as the registry gave them and
// the layers as the plain tars that they were unpacked from. It only reads: it
// takes no locks and writes nothing.
package nodestore

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/jsonbound"
	"github.com/nodeseal/nodeseal/internal/store"
)

// mainManifest is the big data that an image of a store is made of.
const mainManifest = "manifest"

// ErrUnnamed is wrapped by problems about images that no reference names.
var ErrUnnamed = errors.New("image has no name")

// Store is an opened graph root or additional image store. It is safe for
// concurrent use. It need not be closed.
type Store struct {
	// Dir is the graph root, as Open was given it.
	Dir    string
	store  *store.Store
	layers map[digest.Digest][]string // IDs by diff ID
	// attachments are what the inventory of a store of nodeseal's says.
	attachments []attachment
	// roles are what it says of images, by the digest of their references.
	roles map[digest.Digest]string
}

// Open reads what is in the store at dir: /var/lib/containers/storage of a
// node, also mounted elsewhere, or an additional image store. The error wraps
// fs.ErrNotExist where there is no store.
func Open(dir string) (*Store, error) {
	s, err := store.Open(store.Files(dir))
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", dir, err)
	}
	layers := make(map[digest.Digest][]string)
	for _, l := range s.Layers {
		if l.UncompressedDigest != "" {
			layers[l.UncompressedDigest] = append(layers[l.UncompressedDigest], l.ID)
		}
	}
	st := &Store{Dir: dir, store: s, layers: layers, roles: make(map[digest.Digest]string)}
	if err := st.readAttachments(); err != nil {
		return nil, fmt.Errorf("opening %s: %w", dir, err)
	}
	return st, nil
}

// List returns every image of the store by the references that name it, each
// with the platform of its configuration. What cannot be listed is in problems;
// the list has the rest.
func (s *Store) List() (l *imagelist.List, problems []error) {
	l = new(imagelist.List)
	for i := range s.store.Images {
		img := &s.store.Images[i]
		names := img.Names
		if len(names) == 0 && len(img.NamesHistory) > 0 {
			// The tag moved on; the digest is still what a pod may ask for.
			if ref, err := imagelist.Normalize(img.NamesHistory[0]); err == nil {
				name, _ := imagelist.Split(ref)
				names = []string{imagelist.Repository(name) + "@" + img.BigDataDigests[mainManifest].String()}
			}
		}
		if len(names) == 0 {
			problems = append(problems, fmt.Errorf("image %s: %w", img.ID, ErrUnnamed))
			continue
		}
		entries, err := s.entries(img.ID, names, img.BigDataDigests[mainManifest])
		if err != nil {
			problems = append(problems, fmt.Errorf("image %s: %w", img.ID, err))
		}
		for _, e := range entries {
			l.Put(e)
		}
	}
	return l, problems
}

// entries makes an entry for each name by digest, and for each repository that
// is named by tag alone. Tags are further names of what they were pulled as.
func (s *Store) entries(id string, names []string, main digest.Digest) ([]imagelist.Entry, error) {
	platform, err := s.platform(id)
	if err != nil {
		return nil, err
	}
	var problems error
	entries := make(map[string]*imagelist.Entry) // by repository
	var all []*imagelist.Entry
	var tags []string
	for _, n := range names {
		ref, err := imagelist.Normalize(n)
		if err != nil {
			problems = errors.Join(problems, err)
			continue
		}
		name, d := imagelist.Split(ref)
		if d == "" {
			tags = append(tags, ref)
			continue
		}
		if _, err := s.store.Manifest(d); err != nil {
			if d != main {
				continue // a name that came with a mirror or a list; the main manifest's is there, too
			}
			problems = errors.Join(problems, err)
			continue
		}
		e := &imagelist.Entry{Ref: ref, Digest: d}
		all = append(all, e)
		if before := entries[imagelist.Repository(name)]; before == nil || before.Digest == main {
			entries[imagelist.Repository(name)] = e // tags go with the list, where there is one
		}
	}
	for _, tag := range tags {
		repo := imagelist.Repository(tag)
		e := entries[repo]
		if e == nil {
			e = &imagelist.Entry{Ref: repo + "@" + main.String(), Digest: main}
			entries[repo] = e
			all = append(all, e)
		}
		e.Names = append(e.Names, tag)
	}
	out := make([]imagelist.Entry, 0, len(all))
	for _, e := range all {
		e.Platforms, e.Role = []string{platform}, s.roles[e.Digest]
		e.From = []bundle.Origin{{Source: "store", Name: s.Dir}}
		out = append(out, *e)
	}
	return out, problems
}

// platform is what the configuration of an image says, as os/arch.
func (s *Store) platform(id string) (string, error) {
	data, err := s.store.Config(id)
	if err != nil {
		return "", err
	}
	var config v1.Image
	if err := jsonbound.Unmarshal(data, &config); err != nil {
		return "", fmt.Errorf("configuration: %w", err)
	}
	return config.OS + "/" + config.Architecture, nil
}

// Has reports whether the store has an image that ref names.
func (s *Store) Has(ref string) bool {
	_, d := s.digestOf(ref)
	if d == "" {
		return false
	}
	_, err := s.store.Manifest(d)
	return err == nil
}

// digestOf returns ref's repository and digest; a tag is looked up among the
// names of the images.
func (s *Store) digestOf(ref string) (repo string, d digest.Digest) {
	name, d := imagelist.Split(ref)
	if d != "" {
		return imagelist.Repository(name), d
	}
	for i := range s.store.Images {
		img := &s.store.Images[i]
		if slices.Contains(img.Names, ref) {
			return imagelist.Repository(name), img.BigDataDigests[mainManifest]
		}
	}
	return imagelist.Repository(name), ""
}

// layerDir is the folder with the unpacked files of layer id. IDs come from the
// store's own records, which somebody may have damaged.
func (s *Store) layerDir(id string) (string, error) {
	if id == "" || id != filepath.Base(id) || strings.HasPrefix(id, ".") {
		return "", fmt.Errorf("layer ID %q: %w", id, fs.ErrInvalid)
	}
	return filepath.Join(s.Dir, store.OverlayDir, id, "diff"), nil
}
