package bundle

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// The grammar of references, as the registry clients of nodes have it, without what
// they add to short names: a name of an inventory is whole. The host has a dot or a
// port, or is localhost.
const (
	patternHost = `(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])`
	patternPart = `[a-z0-9]+(?:(?:[._]|__|[-]+)[a-z0-9]+)*`
)

var (
	patternRepository = regexp.MustCompile(`^(` + patternHost + `(?:\.` + patternHost + `)*(?::[0-9]+)?|\[[a-fA-F0-9:]+\](?::[0-9]+)?)` +
		`/(` + patternPart + `(?:/` + patternPart + `)*)$`)
	patternTag = regexp.MustCompile(`^[\w][\w.-]{0,127}$`)
)

// maxRepository bounds host and path, in bytes.
const maxRepository = 255

// referenceDigest checks a reference and returns its digest, "" if it has none.
func referenceDigest(ref string) (d digest.Digest, err error) {
	if err := CheckName(ref); err != nil {
		return "", err
	}
	name, sum, hasDigest := strings.Cut(ref, "@")
	if hasDigest {
		d = digest.Digest(sum)
		if err := CheckDigest(d); err != nil {
			return "", err
		}
	}
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		tag := name[i+1:]
		if name = name[:i]; !patternTag.MatchString(tag) {
			return "", fmt.Errorf("tag %q is not valid", tag)
		}
	}
	return d, checkRepository(name)
}

// checkRepository checks a reference without tag and digest.
func checkRepository(name string) error {
	m := patternRepository.FindStringSubmatch(name)
	switch {
	case len(name) > maxRepository:
		return fmt.Errorf("a repository of %d bytes, more than %d", len(name), maxRepository)
	case m == nil:
		return errors.New("not host/repository with a tag or a digest")
	case m[1] != "localhost" && !strings.ContainsAny(m[1], ".:") && strings.ToLower(m[1]) == m[1],
		m[1] == "index.docker.io", m[1] == "docker.io" && !strings.Contains(m[2], "/"):
		return errors.New("a short name: want host/repository as a registry has it")
	}
	return nil
}

// checkReferences holds the names of an image to its digests: Ref is by the digest of
// the list where there is one, else by the manifest's; each further name is by one of
// the two, or a tag (CheckName); none stands twice.
func (img *Image) checkReferences() error {
	named := img.Digest
	if img.Index != "" {
		named = img.Index
	}
	d, err := referenceDigest(img.Ref)
	switch {
	case err != nil:
		return fmt.Errorf("reference %q: %w", img.Ref, err)
	case d == "":
		return fmt.Errorf("reference %q has no digest", img.Ref)
	case d != named:
		return fmt.Errorf("reference %q is of another manifest than %s", img.Ref, named)
	}
	seen := make(map[string]struct{}, len(img.Names)+1)
	seen[img.Ref] = struct{}{}
	for _, name := range img.Names {
		_, twice := seen[name]
		d, err := referenceDigest(name)
		switch {
		case err != nil:
			return fmt.Errorf("name %q: %w", name, err)
		case d != "" && !slices.Contains(img.Subjects(), d):
			return fmt.Errorf("name %q is of another manifest than %s", name, img.Digest)
		case twice:
			return fmt.Errorf("name %q stands twice", name)
		}
		seen[name] = struct{}{}
	}
	return nil
}

// checkNames refuses a name that stands on two images of one platform, and returns which
// is the second one.
func checkNames(images []Image) (second int, _ error) {
	type key struct{ platform, name string }
	taken := make(map[key]*Image)
	for i := range images {
		img := &images[i]
		for _, name := range append([]string{img.Ref}, img.Names...) {
			k := key{platformName(img.Platform), name}
			if other := taken[k]; other != nil {
				return i, fmt.Errorf("the name %s is on two images, %s and %s", name, other.Digest, img.Digest)
			}
			taken[k] = img
		}
	}
	return -1, nil
}

// platformName names a platform as users write it: os/architecture/variant.
func platformName(p *v1.Platform) string {
	if p == nil {
		return ""
	}
	return strings.TrimRight(strings.Join([]string{p.OS, p.Architecture, p.Variant, p.OSVersion}, "/"), "/")
}
