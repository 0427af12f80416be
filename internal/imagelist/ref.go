package imagelist

import (
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/docker/reference"

	"github.com/nodeseal/nodeseal/bundle"
)

// ErrShortName is wrapped by the error about a reference without a registry
// host: which registry it means depends on the machine that reads it.
var ErrShortName = errors.New("short name: write it with its registry, as host/repository")

// ErrDigest is wrapped by the error about a digest that is not sha256.
var ErrDigest = errors.New("only sha256 digests are supported")

// ErrCredentials is wrapped by the error about a reference that holds a user name or
// a password, which no list and no bundle may keep.
var ErrCredentials = errors.New("it holds a user name or a password: leave it out, and log in with podman login (or name --authfile)")

// RefError says that a reference is none.
type RefError struct {
	// Ref is the reference as written.
	Ref string
	Err error
}

// Error names the reference, without a user and password that stand in it.
func (e *RefError) Error() string {
	return fmt.Sprintf("reference %q: %v", shorten(withoutUser(e.Ref)), e.Err)
}

// Unwrap returns the cause.
func (e *RefError) Unwrap() error { return e.Err }

// Normalize returns ref as the kubelet hands it to CRI-O and CRI-O stores it:
// host/repository@digest where it has a digest (a tag beside it is dropped,
// NewEntry keeps it), else host/repository:tag, with the tag latest where it
// has none. Docker Hub is docker.io, and docker.io/busybox is
// docker.io/library/busybox. The host must be there: a name without one is
// ErrShortName. Normalize of what it returned returns the same.
func Normalize(ref string) (string, error) {
	e, err := NewEntry(ref)
	if err != nil {
		return "", err
	}
	return e.Ref, nil
}

// NewEntry returns an entry for ref, normalised as by Normalize, found at the
// given places. Of host/repository:tag@digest, host/repository:tag becomes one
// of Names.
func NewEntry(ref string, from ...bundle.Origin) (Entry, error) {
	named, err := parse(ref)
	if err != nil {
		return Entry{}, &RefError{Ref: ref, Err: err}
	}
	e := Entry{From: from}
	tagged, isTagged := named.(reference.NamedTagged)
	if d, ok := named.(reference.Digested); ok {
		e.Digest = d.Digest()
		e.Ref = named.Name() + "@" + e.Digest.String()
		if isTagged {
			e.Names = []string{named.Name() + ":" + tagged.Tag()}
		}
		return e, nil
	}
	e.Ref = reference.TagNameOnly(named).String()
	return e, nil
}

func parse(ref string) (reference.Named, error) {
	if withoutUser(ref) != ref {
		return nil, ErrCredentials
	}
	host, _, ok := strings.Cut(ref, "/")
	if !ok || (!strings.ContainsAny(host, ".:") && host != "localhost") {
		// Say what is wrong with the rest first, where something is.
		if _, err := reference.ParseNormalizedNamed(ref); err != nil {
			return nil, err
		}
		return nil, ErrShortName
	}
	// The library knows the algorithms that happen to be linked in.
	if _, d, ok := strings.Cut(ref, "@"); ok && !strings.HasPrefix(d, digest.SHA256.String()+":") {
		return nil, ErrDigest
	}
	return reference.ParseNormalizedNamed(ref)
}

// withoutUser returns ref with *** for what stands before the @ of a host.
func withoutUser(ref string) string {
	scheme, rest, ok := strings.Cut(ref, "://")
	if !ok {
		scheme, rest = "", ref
	} else {
		scheme += "://"
	}
	host, path, hasPath := strings.Cut(rest, "/")
	at := strings.LastIndex(host, "@")
	if at < 0 || (!hasPath && strings.HasPrefix(host[at+1:], digest.SHA256.String()+":")) {
		return ref // no user, or a short name with a digest
	}
	if hasPath {
		path = "/" + path
	}
	return scheme + "***" + host[at:] + path
}

// maxShown bounds how much of a bad reference an error repeats, in bytes.
const maxShown = 300

func shorten(s string) string {
	if len(s) > maxShown {
		return s[:maxShown] + "..."
	}
	return s
}
