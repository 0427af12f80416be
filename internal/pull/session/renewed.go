package session

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
)

// renewed asks once more if a session that had worked is turned away with 401.
// The transport below it has renewed the token by then and was still refused:
// where requests share a token that is good for few uses or a short time, others
// may have used it up in between. A session that never worked is not asked again,
// its credentials are wrong. A body is opened again (ownBody).
type renewed struct {
	inner  http.RoundTripper
	worked atomic.Bool
}

// RoundTrip implements http.RoundTripper.
func (r *renewed) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.inner.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	switch {
	case resp.StatusCode < http.StatusBadRequest:
		r.worked.Store(true)
	case resp.StatusCode == http.StatusUnauthorized && r.worked.Load():
		_ = resp.Body.Close() // another answer is wanted
		return r.inner.RoundTrip(req)
	}
	return resp, nil
}

// Unopened is the body of a request that a session opens each time that it sends the request:
// not before, and a redirect (http.Request.GetBody) does not either.
type Unopened func() (io.ReadCloser, error)

// Read implements io.Reader. A session does not call it.
func (Unopened) Read([]byte) (int, error) { return 0, errors.New("the body is not open") }

// Close implements io.Closer.
func (Unopened) Close() error { return nil }

// ownBody sends a request with an Unopened body with one of its own: those above it
// send a request once more when a token ended, and its first body was read by then.
type ownBody struct{ inner http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (o ownBody) RoundTrip(req *http.Request) (*http.Response, error) {
	open, ok := req.Body.(Unopened)
	if !ok {
		return o.inner.RoundTrip(req)
	}
	body, err := open()
	if err != nil {
		return nil, err
	}
	next := req.Clone(req.Context())
	next.Body, next.GetBody = body, open
	return o.inner.RoundTrip(next)
}
