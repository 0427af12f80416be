package answer

import (
	"errors"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/answer/repopath"
	"github.com/nodeseal/nodeseal/internal/store"
)

// snapshot is all stores as they were at one moment, the first one before the
// others. It is not changed.
type snapshot struct {
	views []*view
	// hosts are the names of repositories by their path without the host.
	hosts map[string][]string
	kept  kept
}

func newSnapshot(views []*view) *snapshot {
	s := &snapshot{views: views, hosts: make(map[string][]string)}
	for _, v := range views {
		for key, repo := range v.repositories {
			if !slices.Contains(s.hosts[repo.path], key) {
				s.hosts[repo.path] = append(s.hosts[repo.path], key)
			}
		}
	}
	for _, keys := range s.hosts {
		slices.Sort(keys)
	}
	return s
}

// names returns the repositories that a request for name may mean: with the host
// in front, with the host in ns (containerd's ?ns=), or else of any host.
func (s *snapshot) names(name, ns string) []string {
	if ns != "" {
		return s.known(repopath.Of(ns+"/"+name), name)
	}
	if known := s.known(name); len(known) > 0 {
		return known
	}
	return s.hosts[name]
}

// known returns those of the names that are repositories.
func (s *snapshot) known(names ...string) []string {
	return slices.DeleteFunc(names, func(name string) bool {
		return !slices.ContainsFunc(s.views, func(v *view) bool {
			_, ok := v.repositories[name]
			return ok
		})
	})
}

// tag returns what a tag names. Repositories of several hosts must agree on it.
func (s *snapshot) tag(names []string, tag string) (digest.Digest, bool) {
	var found digest.Digest
	for _, name := range names {
		for _, v := range s.views {
			d, ok := v.tags[name][tag]
			if !ok {
				continue
			}
			if found != "" && found != d {
				return "", false
			}
			found = d
			break
		}
	}
	return found, found != ""
}

// tags returns all tags of the repositories, sorted.
func (s *snapshot) tags(names []string) []string {
	all := make(map[string]bool)
	for _, name := range names {
		for _, v := range s.views {
			for tag := range v.tags[name] {
				all[tag] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// referrers returns the manifests that refer to d, sorted.
func (s *snapshot) referrers(d digest.Digest) []digest.Digest {
	return s.all(func(v *view) []digest.Digest { return v.referrers[d] })
}

// signatures returns the simple signatures of the manifest d, sorted.
func (s *snapshot) signatures(d digest.Digest) []digest.Digest {
	return s.all(func(v *view) []digest.Digest { return v.signatures[d] })
}

// hasSignatures reports whether any store has simple signatures.
func (s *snapshot) hasSignatures() bool {
	return slices.ContainsFunc(s.views, func(v *view) bool { return len(v.signatures) > 0 })
}

// all joins what the stores have, sorted.
func (s *snapshot) all(of func(*view) []digest.Digest) []digest.Digest {
	var all []digest.Digest
	for _, v := range s.views {
		all = append(all, of(v)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// attachment returns a blob of what is attached to an image, verified.
func (s *snapshot) attachment(d digest.Digest) ([]byte, error) {
	return s.first(func(v *view) ([]byte, error) { return v.store.Attachment(d) })
}

// manifest returns a manifest, a list or the manifest of an attachment, verified.
// The error wraps store.ErrUnknown where no store has it.
func (s *snapshot) manifest(d digest.Digest) ([]byte, error) {
	return s.first(func(v *view) ([]byte, error) {
		if v.attachments[d] {
			return v.store.Attachment(d)
		}
		return v.store.Manifest(d)
	})
}

// blob returns a configuration or a blob of an attachment, verified. The error
// wraps store.ErrUnknown where no store has it.
func (s *snapshot) blob(d digest.Digest) ([]byte, error) {
	return s.first(func(v *view) ([]byte, error) {
		if id, ok := v.configs[d]; ok {
			return v.store.Config(id)
		}
		if _, ok := v.attachments[d]; ok {
			return v.store.Attachment(d)
		}
		return nil, store.ErrUnknown
	})
}

// first asks the stores in turn. Damage in one is no reason not to answer from
// another.
func (s *snapshot) first(get func(*view) ([]byte, error)) ([]byte, error) {
	failed := error(store.ErrUnknown)
	for _, v := range s.views {
		if v.store == nil {
			continue
		}
		data, err := get(v)
		if err == nil {
			return data, nil
		}
		if errors.Is(failed, store.ErrUnknown) {
			failed = err
		}
	}
	return nil, failed
}

// layer returns where a layer is, by its diff ID.
func (s *snapshot) layer(diffID digest.Digest) (*view, layer, bool) {
	for _, v := range s.views {
		if l, ok := v.layers[diffID]; ok {
			return v, l, true
		}
	}
	return nil, layer{}, false
}

// diffID returns the diff ID of the layer that a registry has under d.
func (s *snapshot) diffID(d digest.Digest) (digest.Digest, bool) {
	for _, v := range s.views {
		if diffID, ok := v.compressed[d]; ok {
			return diffID, true
		}
	}
	return "", false
}
