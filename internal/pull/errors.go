package pull

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/pull/mirrors"
)

// What an *Error can be, for errors.Is. Errors that are none of these are the
// network's own.
var (
	// ErrNotFound: no endpoint has the manifest or blob.
	ErrNotFound = errors.New("not found")
	// ErrUnauthorized: the registry wants credentials, or other ones. Some
	// registries say so also of repositories that do not exist.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrDenied: the registry knows the credentials and refuses.
	ErrDenied = errors.New("denied")
	// ErrBlocked: registries.conf forbids the registry.
	ErrBlocked = mirrors.ErrBlocked
	// ErrDigest: the bytes are not those that the digest names.
	ErrDigest = errors.New("digest does not match")
	// ErrMediaType: the bytes are not what the registry says that they are.
	ErrMediaType = errors.New("media type does not match")
	// ErrSize: the blob or manifest is longer or shorter than it must be.
	ErrSize = errors.New("size does not match")
	// ErrStalled: no byte came for Options.StallTimeout. It is temporary.
	ErrStalled = errors.New("stalled")
	// ErrSlow: less than 1 KiB a second came over Options.StallTimeout. It is temporary.
	ErrSlow = errors.New("too slow")
)

// Op is what a Client was doing.
type Op string

// The operations of a Client.
const (
	OpManifest  Op = "manifest"
	OpHead      Op = "digest"
	OpBlob      Op = "blob"
	OpReferrers Op = "referrers"
	OpLookaside Op = "signatures"

	// Those of a Repository.
	OpFindBlob     Op = "looking for blob"
	OpSendBlob     Op = "sending blob"
	OpFindManifest Op = "looking for manifest"
	OpSendManifest Op = "sending manifest"
)

// Error is what every method of Client returns that asked a registry.
type Error struct {
	Op  Op
	Ref string
	// Digest is the blob's, "" if it is about none.
	Digest digest.Digest
	// Attempts are the endpoints that were asked, in that order, each with its
	// last failure.
	Attempts []Attempt
	// Err is the failure that says most: the end of the context, else an answer that
	// may go away with time, else any other answer but ErrNotFound, else that a server
	// cannot be reached; of several that of the endpoint asked last, which mostly is the
	// source.
	Err error
}

// Attempt is the failure of one endpoint.
type Attempt struct {
	// Endpoint is the reference that was asked for, at a mirror or the source.
	Endpoint string
	// Tries is how often.
	Tries int
	Err   error
}

// Error names the reference and every endpoint with its failure.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Op))
	if e.Digest != "" {
		fmt.Fprintf(&b, " %s", e.Digest)
	}
	fmt.Fprintf(&b, " of %s", e.Ref)
	if len(e.Attempts) == 0 || e.interrupted() {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	for i, a := range e.Attempts {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		b.WriteString(sep)
		if rest, ok := strings.CutPrefix(e.Ref, a.Endpoint); !ok || (rest != "" && rest[0] != ':' && rest[0] != '@') {
			fmt.Fprintf(&b, "%s: ", a.Endpoint)
		}
		b.WriteString(a.Err.Error())
		if a.Tries > 1 {
			fmt.Fprintf(&b, " (tried %d times)", a.Tries)
		}
	}
	return b.String()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// OfRepository reports whether a Repository was asked, to which no mirrors belong.
func (e *Error) OfRepository() bool {
	switch e.Op {
	case OpFindBlob, OpSendBlob, OpFindManifest, OpSendManifest:
		return true
	case OpManifest, OpHead, OpBlob, OpReferrers, OpLookaside:
	}
	return false
}

// Temporary reports whether the same request may succeed later.
func (e *Error) Temporary() bool { return !e.interrupted() && temporary(e.Err) }

// interrupted reports that the caller's context ended. A network's timeout is
// also a context.DeadlineExceeded for errors.Is, hence the comparison.
func (e *Error) interrupted() bool {
	return e.Err == context.Canceled || e.Err == context.DeadlineExceeded //nolint:errorlint // see above
}

// StatusError is a registry's answer other than success.
type StatusError struct {
	// Status is the HTTP status code.
	Status int
	// Message is what the registry says about it, in one line; may be empty.
	Message string
	// SignIn: the registry's front door or its token server answered so, before
	// anything was asked of the repository.
	SignIn bool

	// retryAfter is what the registry asks to wait; 0 where it does not say.
	retryAfter time.Duration
}

// Error gives the status and the registry's message.
func (e *StatusError) Error() string {
	s := fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status))
	if e.SignIn {
		s = "sign-in: " + s
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.retryAfter > maxRetryAfter {
		s += fmt.Sprintf(" (asks to wait %s)", e.retryAfter)
	}
	return s
}

// Is makes the status one of the package's sentinels. A token server's 404 is
// not ErrNotFound.
func (e *StatusError) Is(target error) bool {
	switch target {
	case ErrNotFound:
		return e.Status == http.StatusNotFound && !e.SignIn
	case ErrUnauthorized:
		return e.Status == http.StatusUnauthorized
	case ErrDenied:
		return e.Status == http.StatusForbidden
	}
	return false
}

// verdict chooses Error.Err from the attempts: a server that answered says more than one
// that could not be reached, as the source behind a mirror on a site without a network.
func verdict(attempts []Attempt) error {
	rank := func(err error) int {
		switch {
		case errors.Is(err, ErrNotFound):
			return 0
		case unreachable(err):
			return 1
		case temporary(err):
			return 3
		default:
			return 2
		}
	}
	var best error
	for _, a := range attempts {
		if best == nil || rank(a.Err) >= rank(best) {
			best = a.Err
		}
	}
	return best
}
