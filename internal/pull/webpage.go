package pull

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
)

// WebPageError reports an answer that is a web page: of a proxy, of a portal where people
// sign in, or of a server that is no registry. It is ErrMediaType for errors.Is.
type WebPageError struct {
	// What was asked for: a manifest, a blob.
	What string
	// Server is host[:port] of the one that answered.
	Server string
}

// Error implements error.
func (e *WebPageError) Error() string {
	return fmt.Sprintf("%s answered with a web page, not with a %s", e.Server, e.What)
}

// Is makes it ErrMediaType.
func (e *WebPageError) Is(target error) bool { return target == ErrMediaType }

// webPage returns a *WebPageError if an answer, which begins with head, is one.
func webPage(what string, resp *http.Response, head []byte) error {
	head = bytes.ToLower(bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n"))
	html := bytes.HasPrefix(head, []byte("<!doctype html")) || bytes.HasPrefix(head, []byte("<html"))
	if !html && !strings.HasPrefix(withoutParameters(resp.Header.Get("Content-Type")), "text/html") {
		return nil
	}
	e := &WebPageError{What: what}
	if resp.Request != nil {
		e.Server = resp.Request.URL.Host
	}
	return e
}
