package imagelist

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"
)

// ErrReference is wrapped by every error about text that is no image reference.
var ErrReference = errors.New("not an image reference")

// maxRepository bounds host and path together, as distribution/reference does.
const maxRepository = 255

// The grammar of distribution/reference, with the host apart.
var (
	hostPattern = regexp.MustCompile(`^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])` +
		`(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*)(?::[0-9]+)?$`)
	pathPattern = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagPattern  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
)

// Normalize returns ref as host/repository[:tag][@digest], the way kubelet
// reads it: docker.io and library/ where no host stands, the tag latest where
// there is neither tag nor digest. A leading docker:// (also of an imageID,
// docker-pullable://) is taken off. Only sha256 digests are accepted. Errors
// wrap ErrReference.
func Normalize(ref string) (string, error) {
	text := strings.TrimSpace(ref)
	for _, scheme := range []string{"docker://", "docker-pullable://"} {
		text = strings.TrimPrefix(text, scheme)
	}
	name, d := Split(text)
	if strings.Contains(text, "@") {
		if err := d.Validate(); err != nil || d.Algorithm() != digest.SHA256 {
			return "", fmt.Errorf("%w: %.300q: the digest is not sha256 and 64 hex digits", ErrReference, ref)
		}
	}
	repo := Repository(name)
	tag := strings.TrimPrefix(name[len(repo):], ":")
	if repo != name && !tagPattern.MatchString(tag) {
		return "", fmt.Errorf("%w: %.300q: the tag", ErrReference, ref)
	}
	host, path, ok := strings.Cut(repo, "/")
	if !ok || (!strings.ContainsAny(host, ".:") && host != "localhost") {
		host, path = "docker.io", repo
	}
	if host == "index.docker.io" {
		host = "docker.io"
	}
	if host == "docker.io" && !strings.Contains(path, "/") {
		path = "library/" + path
	}
	if !hostPattern.MatchString(host) || !pathPattern.MatchString(path) || len(host)+1+len(path) > maxRepository {
		return "", fmt.Errorf("%w: %.300q", ErrReference, ref)
	}
	out := host + "/" + path
	switch {
	case tag != "":
		out += ":" + tag
	case d == "":
		out += ":latest"
	}
	if d != "" {
		out += "@" + d.String()
	}
	return out, nil
}
