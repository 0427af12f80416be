package pull

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// temporary reports whether what failed with err may succeed when it is tried
// again: the registry is busy or restarts, or the network lost something. What
// is not known to be so is not temporary.
func temporary(err error) bool {
	var (
		status *StatusError
		dns    *net.DNSError
		netErr net.Error
		errno  syscall.Errno
	)
	switch {
	case err == nil, isCertificateError(err), errors.As(err, new(*BodyError)):
		return false
	case errors.As(err, &status):
		return temporaryStatus(status)
	case errors.Is(err, ErrStalled), errors.Is(err, ErrSlow), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF),
		errors.Is(err, net.ErrClosed): // the server went while we wrote
		return true
	case errors.As(err, &dns):
		return dns.IsTimeout || dns.IsTemporary
	case errors.As(err, &errno):
		return errno != syscall.EACCES && errno != syscall.EPERM
	case errors.As(err, &netErr):
		// Every *url.Error is a net.Error: look at what it holds.
		return netErr.Timeout()
	}
	return false
}

func temporaryStatus(e *StatusError) bool {
	if e.retryAfter > maxRetryAfter {
		return false
	}
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return e.Status >= 500
}

// isCertificateError reports a server whose identity is not what it must be,
// or that does not speak TLS at all.
func isCertificateError(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		invalid      x509.CertificateInvalidError
		hostname     x509.HostnameError
		record       tls.RecordHeaderError
	)
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &invalid) ||
		errors.As(err, &hostname) || errors.As(err, &record)
}

// unreachable reports that no connection to the host could be made.
func unreachable(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &dns) || (errors.As(err, &op) && op.Op == "dial")
}

// maxMessage bounds what is repeated of a registry's own words, in bytes.
const maxMessage = 300

// clean turns an error of net/http or of the registry library into ours: the
// status with the registry's message, addresses without their query, which may
// hold a signature. signIn says that the status is not about what was asked
// for; retryAfter is what the answer asks to wait.
func clean(err error, signIn bool, retryAfter time.Duration) error {
	var te *transport.Error
	if errors.As(err, &te) {
		return &StatusError{Status: te.StatusCode, Message: diagnostics(te), SignIn: signIn, retryAfter: retryAfter}
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		return &url.Error{Op: ue.Op, URL: withoutQuery(ue.URL), Err: ue.Err}
	}
	return err
}

// diagnostics returns what the registry said, in one printable line.
func diagnostics(te *transport.Error) string {
	var parts []string
	for _, d := range te.Errors {
		if d.Message != "" {
			parts = append(parts, d.Message)
		} else {
			parts = append(parts, string(d.Code))
		}
	}
	return oneLine(strings.Join(parts, "; "))
}

func oneLine(s string) string {
	if len(s) > maxMessage {
		s = s[:maxMessage] + "..."
	}
	s = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if !strconv.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}

func withoutQuery(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	u.RawQuery, u.User, u.Fragment = "", nil, ""
	return u.String()
}
