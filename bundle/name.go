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

// CheckName refuses a reference of an image that a registry would answer with what
// is attached to an image: a name "REPOSITORY:sha256-<hex>.sig" would stand for
// the signatures of the manifest sha256:<hex>.
func CheckName(name string) error {
	if name == "" {
		return errors.New("no reference")
	}
	rest, _, _ := strings.Cut(name, "@")
	last := rest[strings.LastIndexByte(rest, '/')+1:]
	if _, tag, ok := strings.Cut(last, ":"); ok && attachmentTag.MatchString(tag) {
		return fmt.Errorf("reference %q: the tag is that of what is attached to another image", name)
	}
	return nil
}
