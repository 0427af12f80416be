package answer

import (
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"
)

// maxName bounds the name of a repository, in bytes. The specification's 255 is
// for host and name together; here the host that a mirror has in front counts too.
const maxName = 512

// kind is what a request is about.
type kind string

// The endpoints of the distribution specification that are answered.
const (
	kindBase      kind = "base"
	kindManifest  kind = "manifest"
	kindBlob      kind = "blob"
	kindTags      kind = "tags"
	kindReferrers kind = "referrers"
	// kindSignatures is of OpenShift's extension of the specification.
	kindSignatures kind = "signatures"
)

// route is a parsed path below /v2/.
type route struct {
	kind kind
	// name is the repository's, as it was asked for.
	name string
	// digest is what was asked for, or else tag.
	digest digest.Digest
	tag    string
}

// grammar holds the regular expressions of the specification.
type grammar struct{ name, tag *regexp.Regexp }

func newGrammar() grammar {
	return grammar{
		name: regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`),
		tag:  regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`),
	}
}

// parse takes the decoded path of a URL apart. The error is *apiError. A name may
// itself have a component "manifests" or "blobs", so it is read from its end.
func (g grammar) parse(path string) (route, error) {
	if rest, ok := strings.CutPrefix(path, signaturesPath); ok {
		return g.signatures(rest)
	}
	rest, ok := strings.CutPrefix(path, "/v2")
	if !ok || (rest != "" && rest[0] != '/') {
		return route{}, errNotFound("no such endpoint")
	}
	if rest == "" || rest == "/" {
		return route{kind: kindBase}, nil
	}
	parts := strings.Split(rest[1:], "/")
	if len(parts) < 3 {
		return route{}, errNotFound("no such endpoint")
	}
	last := len(parts) - 1
	r := route{name: strings.Join(parts[:last-1], "/")}
	what, arg := parts[last-1], parts[last]
	switch {
	case what == "tags" && arg == "list":
		r.kind = kindTags
	case what == "manifests":
		r.kind = kindManifest
	case what == "blobs":
		r.kind = kindBlob
	case what == "referrers":
		r.kind = kindReferrers
	default:
		return route{}, errNotFound("no such endpoint")
	}
	if len(r.name) > maxName || !g.name.MatchString(r.name) {
		return route{}, errNameInvalid(r.name)
	}
	return g.target(r, arg)
}

// signatures takes <name>/signatures/<digest> apart.
func (g grammar) signatures(rest string) (route, error) {
	i := strings.LastIndex(rest, "/signatures/")
	if i < 0 {
		return route{}, errNotFound("no such endpoint")
	}
	r := route{kind: kindSignatures, name: rest[:i]}
	if len(r.name) > maxName || !g.name.MatchString(r.name) {
		return route{}, errNameInvalid(r.name)
	}
	return g.target(r, rest[i+len("/signatures/"):])
}

// target reads the last part of the path, a digest or a tag, into r.
func (g grammar) target(r route, arg string) (route, error) {
	switch {
	case r.kind == kindTags:
		return r, nil
	case r.kind == kindManifest && !strings.Contains(arg, ":"):
		if !g.tag.MatchString(arg) {
			return route{}, errManifestUnknown(r.name, arg)
		}
		r.tag = arg
		return r, nil
	}
	d, err := digest.Parse(arg)
	if err != nil {
		return route{}, errDigestInvalid(arg)
	}
	r.digest = d
	return r, nil
}
