package bundle

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// attachmentTag is the tag under which registries serve what belongs to a manifest:
// the index of its referrers (OCI distribution specification 1.1), and what cosign
// attaches to it (.sig, .att, .sbom).
var attachmentTag = regexp.MustCompile(`^sha256-[0-9a-f]{64}(\.[a-z]+)?$`)

// maxName is longer than any reference that the distribution specification allows.
const maxName = 1024

// CheckName refuses what cannot be the reference of an image: no name at all, one of
// more than 1,024 bytes, one with a character that is not visible ASCII (it would show
// as something else), and one that a registry would answer with what is attached to an
// image: a name "REPOSITORY:sha256-<hex>.sig" would stand for
// the signatures of the manifest sha256:<hex>.
func CheckName(name string) error {
	if name == "" {
		return errors.New("no reference")
	}
	if len(name) > maxName {
		return fmt.Errorf("a reference of %d bytes, more than %d", len(name), maxName)
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c > '~' {
			return fmt.Errorf("reference %q holds a character that no reference has", name)
		}
	}
	rest, _, _ := strings.Cut(name, "@")
	last := rest[strings.LastIndexByte(rest, '/')+1:]
	if _, tag, ok := strings.Cut(last, ":"); ok && attachmentTag.MatchString(tag) {
		return fmt.Errorf("reference %q: the tag is that of what is attached to another image", name)
	}
	return nil
}
