package difference

import (
	"cmp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Kind is what became of an image.
type Kind string

// The kinds.
const (
	Added   Kind = "added"
	Removed Kind = "removed"
	Changed Kind = "changed"
)

// Change is an image that is not the same on both sides.
type Change struct {
	Kind Kind
	// From is nil if it was added, To if it was removed.
	From, To *Image
	// New are the layers of To that From's whole side lacks. It is nil if the layers of one of
	// the sides are not known, or the image was removed.
	New *Amount
}

// Title names the image to people: by its component on either side, else by its repository.
func (c *Change) Title() string {
	if c.To == nil || c.To.Component == "" && c.From != nil && c.From.Component != "" {
		return c.From.Title()
	}
	return c.To.Title()
}

// Amount is what layers take, each once.
type Amount struct {
	Layers int `json:"layers"`
	// Bytes are compressed, as a registry has them.
	Bytes int64 `json:"bytes"`
	// Unpacked are the bytes of their tars; 0 where that of a layer is not known.
	Unpacked int64 `json:"unpacked,omitempty"`
	unknown  bool
}

func (a *Amount) add(l *Layer) {
	a.Layers++
	a.Bytes += l.Size
	a.unknown = a.unknown || l.Unpacked == 0
	if a.Unpacked += l.Unpacked; a.unknown {
		a.Unpacked = 0
	}
}

// Total is what all layers take, nil if they are not known.
func (s *Side) Total() *Amount {
	if !s.Sized {
		return nil
	}
	return s.sum(func(*Layer) bool { return true })
}

// sum adds up the layers that are wanted: by content, each once.
func (s *Side) sum(wanted func(*Layer) bool) *Amount {
	a := new(Amount)
	seen := make(map[digest.Digest]bool, len(s.Layers))
	for i := range s.Layers {
		if l := &s.Layers[i]; !seen[l.DiffID] && wanted(l) {
			seen[l.DiffID] = true
			a.add(l)
		}
	}
	return a
}

// Difference is what Compare found.
type Difference struct {
	// Changes are sorted by title and kind. Same is how many images are the same.
	Changes []Change
	Same    int
	// New are the layers that only the second side has, Gone those that only the first one has;
	// nil if the layers of a side are not known.
	New, Gone *Amount
}

// Count returns how many changes are of a kind.
func (d *Difference) Count(k Kind) (n int) {
	for i := range d.Changes {
		if d.Changes[i].Kind == k {
			n++
		}
	}
	return n
}

// Compare says how b differs from a. An image is the same if its reference is on both sides, or a tag of
// it where one of them has no digest, and, where both know them, with the same manifests. Of others, one of a is the one that became
// one of b if both alone have a name by tag, the component, the digest or the repository in
// common, in this order.
func Compare(a, b *Side) *Difference {
	m := &matcher{a: a, b: b, of: make([]int, len(b.Images)), taken: make([]bool, len(a.Images))}
	for i := range m.of {
		m.of[i] = -1
	}
	m.match(func(i *Image) []string { return []string{i.Ref} })
	m.match(names)
	m.match(func(i *Image) []string { return some(i.Component) })
	m.match(func(i *Image) []string { return some(i.Digest().String()) })
	m.match(repository)
	return m.difference()
}

// names are those of an image besides its reference by digest: tags.
func names(i *Image) []string {
	if i.Digest() == "" {
		return []string{i.Ref}
	}
	return i.Names
}

// repository is that of an image of no release: all components of one are in one repository.
func repository(i *Image) []string {
	if i.Component != "" {
		return nil
	}
	return []string{i.repository()}
}

func some(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// matcher finds the image of a that each image of b was.
type matcher struct {
	a, b  *Side
	of    []int // by image of b: that of a, -1 for none
	taken []bool
}

const several = -1

// match pairs images that are left, if one on each side alone has a key.
func (m *matcher) match(keys func(*Image) []string) {
	one := func(images []Image, left func(int) bool) map[string]int {
		by := make(map[string]int)
		for i := range images {
			if !left(i) {
				continue
			}
			for _, k := range keys(&images[i]) {
				if n, ok := by[k]; ok && n != i {
					by[k] = several
				} else {
					by[k] = i
				}
			}
		}
		return by
	}
	as := one(m.a.Images, func(i int) bool { return !m.taken[i] })
	if len(as) == 0 {
		return
	}
	bs := one(m.b.Images, func(i int) bool { return m.of[i] < 0 })
	for j := range m.b.Images {
		if m.of[j] >= 0 {
			continue
		}
		for _, k := range keys(&m.b.Images[j]) {
			if i, ok := as[k]; ok && i != several && bs[k] == j && !m.taken[i] {
				m.of[j], m.taken[i] = i, true
				break
			}
		}
	}
}

func (m *matcher) difference() *Difference {
	d := new(Difference)
	var lacks func(*Layer) bool
	if m.a.Sized && m.b.Sized {
		lacks = lacking(m.a)
		d.New, d.Gone = m.b.sum(lacks), m.a.sum(lacking(m.b))
	}
	for j := range m.b.Images {
		to := &m.b.Images[j]
		c := Change{Kind: Added, To: to}
		if i := m.of[j]; i >= 0 {
			c.Kind, c.From = Changed, &m.a.Images[i]
			if same(c.From, to) {
				d.Same++
				continue
			}
		}
		if lacks != nil {
			c.New = m.b.lacked(to, lacks)
		}
		d.Changes = append(d.Changes, c)
	}
	for i := range m.a.Images {
		if !m.taken[i] {
			d.Changes = append(d.Changes, Change{Kind: Removed, From: &m.a.Images[i]})
		}
	}
	slices.SortStableFunc(d.Changes, func(x, y Change) int {
		return cmp.Or(strings.Compare(x.Title(), y.Title()), strings.Compare(string(x.Kind), string(y.Kind)), strings.Compare(x.ref(), y.ref()))
	})
	return d
}

func (c *Change) ref() string {
	if c.To != nil {
		return c.To.Ref
	}
	return c.From.Ref
}

// same reports whether both are one image, as far as is known. Where the references differ, they are
// one only by a tag: two digests are two images, and a tag without a digest says nothing of another tag.
func same(a, b *Image) bool {
	if a.Ref != b.Ref && (a.Digest() != "" && b.Digest() != "" || !shareTag(a, b)) {
		return false
	}
	return a.Manifests == nil || b.Manifests == nil || slices.Equal(a.Manifests, b.Manifests)
}

// shareTag reports whether both have one name by tag.
func shareTag(a, b *Image) bool {
	others := names(b)
	return slices.ContainsFunc(names(a), func(name string) bool { return slices.Contains(others, name) })
}

// lacking reports which layers s has not.
func lacking(s *Side) func(*Layer) bool {
	has := make(map[digest.Digest]bool, len(s.Layers))
	for i := range s.Layers {
		has[s.Layers[i].DiffID] = true
	}
	return func(l *Layer) bool { return !has[l.DiffID] }
}

// lacked is what the layers of the image that are lacking elsewhere take.
func (s *Side) lacked(img *Image, lacks func(*Layer) bool) *Amount {
	a := new(Amount)
	seen := make(map[digest.Digest]bool)
	for _, place := range img.layers {
		if l := &s.Layers[place]; lacks(l) && !seen[l.DiffID] {
			seen[l.DiffID] = true
			a.add(l)
		}
	}
	return a
}
