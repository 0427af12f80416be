package slot

import (
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/opencontainers/go-digest"
)

// lost are the names and manifests that no store has when a slot is emptied.
type lost struct {
	names   map[string]bool
	digests map[digest.Digest]bool
}

// newLost returns all that a store has.
func newLost(s *store.Store) *lost {
	l := &lost{names: make(map[string]bool), digests: make(map[digest.Digest]bool)}
	each(s, func(name string) { l.names[name] = true }, func(d digest.Digest) { l.digests[d] = true })
	return l
}

// keep takes out what another store has.
func (l *lost) keep(s *store.Store) {
	each(s, func(name string) { delete(l.names, name) }, func(d digest.Digest) { delete(l.digests, d) })
}

// each calls the functions with all names of a store's images and with the
// digests of their manifests and lists.
func each(s *store.Store, name func(string), manifest func(digest.Digest)) {
	for _, r := range slices.Concat(s.References, s.Artifacts) {
		name(r.Name)
		manifest(r.Digest)
	}
	for _, d := range s.Manifests() {
		manifest(d)
	}
}

// has reports whether an image of a list is among what is lost. A digest counts
// under whatever name, where no store has it any more.
func (l *lost) has(e *imagelist.Entry) bool {
	_, d := imagelist.Split(e.Ref)
	if e.Digest != "" {
		d = e.Digest
	}
	return l.names[e.Ref] || l.digests[d] || slices.ContainsFunc(e.Names, func(n string) bool { return l.names[n] }) ||
		l.hasShort(e.Ref)
}

// hasShort reports whether ref is a name without a registry that may mean one of
// the images: the same path and tag at some registry.
func (l *lost) hasShort(ref string) bool {
	full, err := imagelist.Normalize("localhost/" + ref)
	if _, already := imagelist.Normalize(ref); already == nil || err != nil {
		return false
	}
	suffix := strings.TrimPrefix(full, "localhost")
	for name := range l.names {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// uses returns who of a list names what is lost: each object once for an image.
func (l *lost) uses(named *imagelist.List) []Use {
	if named == nil {
		return nil
	}
	var uses []Use
	for _, e := range named.Entries() {
		if !l.has(&e) {
			continue
		}
		type object struct{ kind, namespace, name string }
		seen := make(map[object]bool)
		for _, o := range e.From {
			who := object{o.Kind, o.Namespace, o.Object}
			if o.Object != "" && seen[who] {
				continue
			}
			seen[who] = true
			uses = append(uses, Use{Kind: Object, Name: o.String(), Image: e.Ref})
		}
	}
	slices.SortStableFunc(uses, func(a, b Use) int { return strings.Compare(a.Name, b.Name) })
	return uses
}
