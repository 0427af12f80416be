package push

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/nodeseal/nodeseal/internal/pull"
)

// ErrNothing is wrapped when no image is left to push.
var ErrNothing = errors.New("no image of the bundle is wanted")

// ErrNone is wrapped when every image failed.
var ErrNone = errors.New("no image arrived")

// ExpandedError names images whose layers a bundle has only unpacked. Compressed again they
// have other digests.
type ExpandedError struct {
	Images []string
	// Base is what the bundle leaves some of the layers to, "" if it holds all of them.
	// Layers that are not there cannot be compressed.
	Base string
}

// Error implements error.
func (e *ExpandedError) Error() string {
	if e.Base != "" {
		return fmt.Sprintf("the bundle has expanded layers, and leaves some of %s to its base, %s, so they cannot be compressed again:\n  %s",
			count(len(e.Images), "image"), e.Base, strings.Join(e.Images, "\n  "))
	}
	return fmt.Sprintf("the bundle has the layers of %s only expanded, and not the bytes that their digests name:\n  %s",
		count(len(e.Images), "image"), strings.Join(e.Images, "\n  "))
}

// TagError reports a tag that two images would have in one repository.
type TagError struct{ Name, First, Second string }

// Error implements error.
func (e *TagError) Error() string {
	return fmt.Sprintf("%s would be the tag of two images: %s and %s", e.Name, e.First, e.Second)
}

// BaseError names images with layers that the bundle leaves to its base and that are not
// in the registry.
type BaseError struct {
	Base     string
	Registry Target
	Images   []string
}

// Error implements error.
func (e *BaseError) Error() string {
	return fmt.Sprintf("the bundle leaves layers of %s to its base, %s, and %s does not have them:\n  %s",
		count(len(e.Images), "image"), e.Base, e.Registry, strings.Join(e.Images, "\n  "))
}

// CopyError reports a blob, left to the base, that a repository of the registry did not give.
type CopyError struct {
	From string
	Err  error
}

// Error implements error.
func (e *CopyError) Error() string { return "taking it from " + e.From + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *CopyError) Unwrap() error { return e.Err }

// RewrittenError reports a registry that stored other bytes than it was given.
type RewrittenError struct{ Name, Want, Got string }

// Error implements error.
func (e *RewrittenError) Error() string {
	return fmt.Sprintf("%s: the registry stored other bytes: sent %s, it has %s", e.Name, e.Want, e.Got)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// IsPrecondition reports the errors about what a bundle or registry must have first.
func IsPrecondition(err error) bool {
	return errors.As(err, new(*ExpandedError)) || errors.As(err, new(*BaseError)) || errors.As(err, new(*TagError)) || errors.Is(err, ErrNothing)
}

// Next is what to do about an error of this package, "" of others.
func Next(err error) string {
	var expanded *ExpandedError
	var rewritten *RewrittenError
	var asking *pull.Error
	var unknown *net.DNSError
	ours := errors.As(err, &asking) && asking.OfRepository()
	switch {
	case errors.As(err, &expanded) && expanded.Base != "":
		return "make the bundle again without --since, with nodeseal bundle --layers original"
	case errors.As(err, &expanded):
		return "make the bundle again with nodeseal bundle --layers original; or choose others with --images or --include; --recompress pushes them under other digests, by which no pod asks"
	case errors.As(err, new(*CopyError)):
		return "run the same command again; if the registry has lost the layer, push a bundle that was made without --since"
	case errors.As(err, new(*BaseError)):
		return "push the base's bundle to the same REGISTRY/PREFIX first, or push a bundle that was made without --since"
	case errors.As(err, new(*TagError)):
		return "leave one of them out with --exclude, and push it under another PREFIX; apply the mirror sets of both"
	case errors.Is(err, ErrNothing):
		return "nodeseal inspect BUNDLE lists its images"
	case errors.As(err, &rewritten):
		return "use a registry that keeps manifests and blobs byte for byte; a proxy in front of it may change them, too"
	case ours && (errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH) || errors.As(err, &unknown)):
		return "check the registry's name and port, and run the same command again"
	case ours && (asking.Op == pull.OpSendBlob || asking.Op == pull.OpSendManifest) && errors.Is(err, pull.ErrNotFound):
		return "create the project or organisation in the registry first, or name another PREFIX; run the same command again to resume"
	}
	return ""
}
