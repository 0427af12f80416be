package nodeconfig

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"go.podman.io/image/v5/docker/reference"

	"github.com/nodeseal/nodeseal/internal/answer/repopath"
)

const (
	// DefaultRegistry is where the answering registry listens.
	DefaultRegistry = "127.0.0.1:5055"
	// RegistriesConfFile is where Registries.Conf belongs.
	RegistriesConfFile = "/etc/containers/registries.conf.d/99-zzz-nodeseal.conf"
	// AttachmentsFile is where Registries.Attachments belongs.
	AttachmentsFile = "/etc/containers/registries.d/nodeseal.yaml"
)

// Pulls says which pulls ask a mirror.
type Pulls string

// What a mirror may be for, in the words of registries.conf.
const (
	AllPulls    Pulls = ""
	DigestPulls Pulls = "digest-only" // ImageDigestMirrorSet, ImageContentSourcePolicy
	TagPulls    Pulls = "tag-only"    // ImageTagMirrorSet
)

// MirroredSource is a repository, or all that begin with Source, for which the
// node has mirrors already.
type MirroredSource struct {
	// Source is host[:port][/path], or *.domain for all hosts of a domain.
	Source  string
	Mirrors []string
	Pulls   Pulls
	// NeverSource says that the source itself must not be asked.
	NeverSource bool
	// Object is where this stands, for errors: ImageTagMirrorSet NAME.
	Object string
}

// ErrSource is wrapped by the error about a source or mirror that no program can
// read from registries.conf.
var ErrSource = errors.New("not host[:port][/path]")

// check refuses what CRI-O would not start with.
func (m MirroredSource) check() error {
	err := checkLocation(strings.TrimPrefix(m.Source, "*."))
	what := m.Source
	for _, mirror := range m.Mirrors {
		if err == nil {
			err, what = checkLocation(mirror), mirror
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %q: %w", m.Object, hidden(what), err)
	}
	return nil
}

func checkLocation(location string) error {
	if strings.Contains(location, "@") {
		return fmt.Errorf("%w: no user, password or digest can stand in it", ErrSource)
	}
	if named, err := reference.Parse(location + "/name"); err != nil || named.String() != location+"/name" {
		return ErrSource
	}
	return nil
}

// hidden is location without what may be a password.
func hidden(location string) string {
	if i := strings.LastIndex(location, "@"); i >= 0 {
		return "***" + location[i:]
	}
	return location
}

// Registries says what the answering registry is to be asked for. Address is
// host:port, "" is DefaultRegistry.
type Registries struct {
	Address string
	// Repositories are host[:port]/path, in any order, and may stand twice.
	Repositories []string
	// Mirrored are the mirrors that the node's configuration has.
	Mirrored []MirroredSource
}

// The parts of registries.conf that are written.
type (
	registriesConf struct {
		Registry []registryEntry `toml:"registry"`
	}
	registryEntry struct {
		Prefix   string        `toml:"prefix"`
		Location string        `toml:"location"`
		Blocked  bool          `toml:"blocked,omitempty"`
		Mirror   []mirrorEntry `toml:"mirror"`
	}
	mirrorEntry struct {
		Location string `toml:"location"`
		Insecure bool   `toml:"insecure,omitempty"`
		Pulls    Pulls  `toml:"pull-from-mirror,omitempty"`
	}
)

func (r Registries) address() string { return cmp.Or(r.Address, DefaultRegistry) }

// Conf returns the drop-in for registries.conf.d. Readers take the entry with
// the longest prefix, and of two equal ones that of the last drop-in, whole. So
// there is one entry for each repository and for each source of a mirror set:
// the answering registry first, then the mirrors that were there before.
func (r Registries) Conf() ([]byte, error) {
	prefixes := slices.Clone(r.Repositories)
	var bad error
	for _, m := range r.Mirrored {
		bad = errors.Join(bad, m.check())
		prefixes = append(prefixes, m.Source)
	}
	if bad != nil {
		return nil, bad
	}
	slices.Sort(prefixes)
	var conf registriesConf
	for _, prefix := range slices.Compact(prefixes) {
		conf.Registry = append(conf.Registry, r.entry(prefix))
	}
	var out bytes.Buffer
	out.WriteString("# Pulls on this node ask nodeseal serve first. Made by nodeseal config registries.\n\n")
	enc := toml.NewEncoder(&out)
	enc.Indent = ""
	if err := enc.Encode(conf); err != nil {
		return nil, fmt.Errorf("encoding registries.conf: %w", err)
	}
	return out.Bytes(), nil
}

// entry returns the entry for a prefix.
func (r Registries) entry(prefix string) registryEntry {
	e := registryEntry{Prefix: prefix, Location: prefix}
	own := r.address() + "/" + repopath.Of(prefix)
	if isWildcard(prefix) {
		// What was matched is replaced: the host goes, and the source itself is asked
		// under its own name where there is no location.
		e.Location, own = "", r.address()
	}
	e.Mirror = []mirrorEntry{{Location: own, Insecure: true}}
	for _, m := range r.covering(prefix) {
		e.Blocked = e.Blocked || m.NeverSource
		for _, mirror := range m.Mirrors {
			further := mirrorEntry{Location: mirror + strings.TrimPrefix(prefix, m.Source), Pulls: m.Pulls}
			if isWildcard(m.Source) && !isWildcard(prefix) {
				_, path, _ := strings.Cut(prefix, "/")
				further.Location = mirror + "/" + path
			}
			if !slices.Contains(e.Mirror, further) {
				e.Mirror = append(e.Mirror, further)
			}
		}
	}
	return e
}

// covering returns the mirrors that a reader takes for prefix now: those with the
// longest source that it begins with.
func (r Registries) covering(prefix string) []MirroredSource {
	var found []MirroredSource
	longest := -1
	for _, m := range r.Mirrored {
		switch n := len(m.Source); {
		case !covers(m.Source, prefix) || n < longest:
		case n > longest:
			found, longest = []MirroredSource{m}, n
		default:
			found = append(found, m)
		}
	}
	return found
}

// covers reports whether an entry for source is for prefix, too.
func covers(source, prefix string) bool {
	if source == prefix {
		return true
	}
	if isWildcard(source) {
		host, _, _ := strings.Cut(prefix, "/")
		return strings.HasSuffix(host, source[1:])
	}
	rest, ok := strings.CutPrefix(prefix, source)
	return ok && rest[0] == '/'
}

func isWildcard(source string) bool { return strings.HasPrefix(source, "*.") }

// Attachments returns the drop-in for registries.d: sigstore signatures are
// looked for where the image is, which is then the answering registry.
func (r Registries) Attachments() []byte {
	return fmt.Appendf(nil, "# Signatures come with the images. Made by nodeseal config registries.\ndocker:\n  %s:\n    use-sigstore-attachments: true\n", r.address())
}
