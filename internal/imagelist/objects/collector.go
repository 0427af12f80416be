package objects

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"

	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// Collector makes one result of many objects. The zero value is ready for use.
// It is safe for concurrent use.
type Collector struct {
	mu       sync.Mutex
	found    []Found
	short    []Found // references without a host
	runs     votes   // what runs under a reference by tag
	known    votes   // what else is known of one
	releases []bundle.Release
	archs    []string
	mirrors  []imagelist.Mirror
	sigs     []imagelist.Signature
	configs  map[string]bool
	machine  map[string][]Found // of MachineConfigs, by name
	problems []Problem
	names    map[string]name   // of references as written
	strings  map[string]string // one copy of each
	kept     int               // bytes of all that is kept, about
	passed   bool              // something was left out because of that
}

// name is what Normalize says of a reference.
type name struct {
	ref    string
	digest digest.Digest
	err    error
}

// votes counts how often a reference was seen with a digest.
type votes map[string]map[digest.Digest]int

// Problem is something that the list may lack an image for.
type Problem struct {
	// From is the object, or the kind and namespace that could not be read.
	From bundle.Origin
	Err  error
}

// Error says where and what; nothing is said twice.
func (p Problem) Error() string {
	where := p.From.Kind
	switch {
	case p.From.Namespace != "" && p.From.Object != "":
		where += " " + p.From.Namespace + "/" + p.From.Object
	case p.From.Namespace != "":
		where += " in " + p.From.Namespace
	case p.From.Object != "":
		where += " " + p.From.Object
	}
	return where + ": " + p.Err.Error()
}

// Unwrap returns Err.
func (p Problem) Unwrap() error { return p.Err }

// Result is what a cluster needs, as far as its objects say.
type Result struct {
	// List has every reference, by digest where any object says which digest runs.
	List *imagelist.List
	// Releases are those whose payload is needed, the wanted one first.
	Releases []bundle.Release
	// Architectures are those of the nodes, in the words of GOARCH, sorted.
	Architectures []string
	// Mirrors and Signatures are sorted by object and by key.
	Mirrors    []imagelist.Mirror
	Signatures []imagelist.Signature
	// Problems are in the order of their text.
	Problems []Problem
}

// Add takes what o says. What cannot be read of it becomes a problem, and so does what is more than
// a Collector keeps.
func (c *Collector) Add(o kubeobject.Object) {
	f, err := Extract(o)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.full(origin(o, "", "")) {
		return
	}
	if err != nil {
		c.problem(origin(o, "", ""), err)
	}
	if o.Kind == "MachineConfig" {
		if c.machine == nil {
			c.machine = make(map[string][]Found)
		}
		c.machine[o.Metadata.Name] = c.normal(f.Images)
	} else {
		c.found = append(c.found, c.normal(f.Images)...)
	}
	c.facts(&f)
}

// Report adds a problem.
func (c *Collector) Report(p Problem) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.problems = append(c.problems, p)
}

// normal normalises references; one that is none becomes a problem. Thousands of
// pods name the same images: of equal strings one copy is kept.
func (c *Collector) normal(images []Found) []Found {
	var out []Found
	for _, f := range images {
		if c.full(f.From) {
			break
		}
		c.kept += foundSize
		f.From.Namespace, f.From.Container, f.From.Name = c.same(f.From.Namespace), c.same(f.From.Container), c.same(f.From.Name)
		f.From.Kind, f.From.Object = c.same(f.From.Kind), c.same(f.From.Object)
		n := c.name(f.Ref)
		if errors.Is(n.err, imagelist.ErrShortName) {
			c.short = append(c.short, f)
			continue
		}
		if n.err != nil {
			c.problem(f.From, n.err)
			continue
		}
		f.Ref, f.RunsAs = n.ref, ""
		if n.digest != "" {
			f.Runs = ""
		}
		if f.Runs != "" {
			f.Runs = digest.Digest(c.same(f.Runs.String()))
			c.vote(&c.runs, f.Ref, f.Runs)
		}
		out = append(out, f)
	}
	return out
}

// name normalises a reference, once.
func (c *Collector) name(ref string) name {
	n, ok := c.names[ref]
	if !ok {
		n.ref, n.err = imagelist.Normalize(ref)
		_, n.digest = imagelist.Split(n.ref)
		if c.names == nil {
			c.names = make(map[string]name)
		}
		c.kept += nameSize + 2*len(ref)
		c.names[ref] = n
	}
	return n
}

// same returns s, as the copy that is kept.
func (c *Collector) same(s string) string {
	kept, ok := c.strings[s]
	if !ok {
		if c.strings == nil {
			c.strings = make(map[string]string)
		}
		c.kept += wordSize + len(s)
		kept = s
		c.strings[s] = s
	}
	return kept
}

func (v *votes) add(ref string, d digest.Digest) {
	if *v == nil {
		*v = make(votes)
	}
	if (*v)[ref] == nil {
		(*v)[ref] = make(map[digest.Digest]int)
	}
	(*v)[ref][d]++
}

// best returns the digest seen most often with ref (the lowest of those), and
// how many there are.
func (v votes) best(ref string) (digest.Digest, int) {
	var best digest.Digest
	for d, n := range v[ref] {
		if most := v[ref][best]; n > most || n == most && d < best {
			best = d
		}
	}
	return best, len(v[ref])
}

// Result returns what the objects say together. The order in which they came
// does not matter.
func (c *Collector) Result() Result {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := Result{
		List:          new(imagelist.List),
		Releases:      slices.Clone(c.releases),
		Architectures: slices.Clone(c.archs),
		Mirrors:       slices.Clone(c.mirrors),
		Signatures:    slices.Clone(c.sigs),
		Problems:      slices.Clone(c.problems),
	}
	slices.Sort(r.Architectures)
	r.Architectures = slices.Compact(r.Architectures)
	all, unknown := c.long(c.inUse())
	r.Problems = append(r.Problems, unknown...)
	slices.SortStableFunc(all, func(a, b Found) int { return compareOrigins(a.From, b.From) })
	split := make(map[string]bool)
	for _, f := range all {
		if f.Arch != "" && len(r.Architectures) > 0 && !slices.Contains(r.Architectures, f.Arch) {
			continue
		}
		e, several := c.entry(f)
		e.Platforms = platforms(f, r.Architectures)
		r.List.Put(e)
		if several && !split[f.Ref] {
			split[f.Ref] = true
			r.Problems = append(r.Problems, Problem{f.From, &AmbiguousError{Ref: f.Ref, Runs: c.runs.digests(f.Ref)}})
		}
	}
	slices.SortFunc(r.Mirrors, func(a, b imagelist.Mirror) int {
		return strings.Compare(a.Source+"\n"+a.Kind+"\n"+a.Object, b.Source+"\n"+b.Kind+"\n"+b.Object)
	})
	slices.SortFunc(r.Signatures, func(a, b imagelist.Signature) int { return strings.Compare(a.Key, b.Key) })
	slices.SortFunc(r.Problems, func(a, b Problem) int { return strings.Compare(a.Error(), b.Error()) })
	return r
}

// long adds to found the references without a host, under the names that the
// nodes gave them. Where no pod runs under such a name, nobody knows what it means.
func (c *Collector) long(found []Found) ([]Found, []Problem) {
	names := make(map[string]string)
	for _, f := range c.short {
		if ref, err := imagelist.Normalize(f.RunsAs); err == nil && (names[f.Ref] == "" || ref < names[f.Ref]) {
			names[f.Ref] = ref
		}
	}
	var problems []Problem
	for _, f := range c.short {
		ref, err := imagelist.Normalize(f.RunsAs)
		if err != nil {
			ref = names[f.Ref]
		}
		if ref == "" {
			_, err := imagelist.Normalize(f.Ref)
			problems = append(problems, Problem{f.From, err})
			continue
		}
		f.Ref, f.Runs = ref, ""
		found = append(found, f)
	}
	return found, problems
}

// inUse returns all findings but those of MachineConfigs that no pool and no
// node uses. Where nothing says which are used, all are.
func (c *Collector) inUse() []Found {
	all := slices.Clone(c.found)
	for name, images := range c.machine {
		if len(c.configs) == 0 || c.configs[name] {
			all = append(all, images...)
		}
	}
	return all
}

// entry resolves f. several says that different digests run under its reference.
func (c *Collector) entry(f Found) (e imagelist.Entry, several bool) {
	e = imagelist.Entry{Ref: f.Ref, Role: f.Role, From: []bundle.Origin{f.From}}
	repo, d := imagelist.Split(f.Ref)
	if d != "" {
		return e, false
	}
	main, n := c.runs.best(f.Ref)
	if n == 0 {
		if main, n = c.known.best(f.Ref); n != 1 {
			return e, false // where caches disagree, the registry has the word
		}
	}
	d = main
	if f.Runs != "" {
		d = f.Runs
	}
	e.Ref, e.Digest = imagelist.Repository(repo)+"@"+d.String(), d
	if d == main {
		e.Names = []string{f.Ref}
	}
	return e, n > 1
}

func (v votes) digests(ref string) []digest.Digest {
	out := make([]digest.Digest, 0, len(v[ref]))
	for d := range v[ref] {
		out = append(out, d)
	}
	slices.Sort(out)
	return out
}

func platforms(f Found, architectures []string) []string {
	if f.Arch != "" {
		return []string{"linux/" + f.Arch}
	}
	out := make([]string, 0, len(architectures))
	for _, a := range architectures {
		out = append(out, "linux/"+a)
	}
	return out
}

// maxNamed bounds how many digests the text of an error names.
const maxNamed = 5

// AmbiguousError says that one tag runs as different images: which of them a
// pod gets depends on when its node pulled.
type AmbiguousError struct {
	Ref string
	// Runs are the digests, sorted. All are in the list; the tag names the one
	// that most pods run.
	Runs []digest.Digest
}

// Error names the reference and the digests.
func (e *AmbiguousError) Error() string {
	names := make([]string, 0, maxNamed)
	for _, d := range e.Runs[:min(len(e.Runs), maxNamed)] {
		names = append(names, d.String())
	}
	text := e.Ref + " runs as different images: " + strings.Join(names, ", ")
	if more := len(e.Runs) - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func compareOrigins(a, b bundle.Origin) int {
	for _, p := range [][2]string{
		{a.Kind, b.Kind}, {a.Namespace, b.Namespace}, {a.Object, b.Object},
		{a.Container, b.Container}, {a.Name, b.Name},
	} {
		if c := strings.Compare(p[0], p[1]); c != 0 {
			return c
		}
	}
	return 0
}
