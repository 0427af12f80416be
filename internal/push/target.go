package push

import (
	"errors"
	"fmt"
	"strings"

	"go.podman.io/image/v5/docker/reference"
)

// Target is where images go: a registry, and a path in it.
type Target string

// ErrTarget is wrapped by the error about a Target that is none.
var ErrTarget = errors.New("not REGISTRY[/PREFIX], a host with its port and a path of lower case")

// ParseTarget reads host[:port][/path].
func ParseTarget(s string) (Target, error) {
	named, err := reference.ParseNamed(s + "/name")
	if err != nil || named.String() != s+"/name" {
		// What stands before an @ may be a password.
		if i := strings.LastIndex(s, "@"); i >= 0 {
			s = "..." + s[i:]
		}
		return "", fmt.Errorf("registry %q: %w", s, ErrTarget)
	}
	return Target(s), nil
}

// Registry is host[:port].
func (t Target) Registry() string {
	host, _, _ := strings.Cut(string(t), "/")
	return host
}

// of splits a reference of a bundle: its registry, the repository in the Target that has the
// path of its own, and its tag or digest, one of which is "".
func (t Target) of(ref string) (source, repository, tag, sum string, err error) {
	named, err := reference.ParseNamed(ref)
	if err != nil {
		return "", "", "", "", fmt.Errorf("reference %q: %w", ref, err)
	}
	if r, ok := named.(reference.Tagged); ok {
		tag = r.Tag()
	}
	if r, ok := named.(reference.Digested); ok {
		tag, sum = "", r.Digest().String()
	}
	repository = string(t) + "/" + reference.Path(named)
	if _, err := reference.ParseNamed(repository); err != nil {
		return "", "", "", "", fmt.Errorf("repository %s: %w", repository, err)
	}
	return reference.Domain(named), repository, tag, sum, nil
}
