package pull

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/nodeseal/nodeseal/internal/pull/session"
)

// answerPatience is how many times StallTimeout a registry has to answer once it has all
// bytes of a request: it hashes and moves them before it does.
const answerPatience = 10

// BodyError reports that what was to be sent could not be read. It is never tried again.
type BodyError struct{ Err error }

// Error implements error.
func (e *BodyError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *BodyError) Unwrap() error { return e.Err }

// upload is the body of a request.
type upload struct {
	open func() (io.ReadCloser, error)
	size int64

	mu  sync.Mutex
	err error // of the body
}

// attach gives req the body, watched by dog. It may be opened more than once. A nil upload
// is none.
func (u *upload) attach(req *http.Request, dog *watchdog) {
	if u == nil {
		return
	}
	req.ContentLength = u.size
	if u.size == 0 {
		return
	}
	body := session.Unopened(func() (io.ReadCloser, error) {
		dog.hold() // it may wait for memory, and not for the network
		body, err := u.open()
		dog.feed()
		if err != nil {
			return nil, u.failed(err)
		}
		return &watched{ReadCloser: body, upload: u, dog: dog}, nil
	})
	req.Body = body
	req.GetBody = func() (io.ReadCloser, error) { return body, nil } // of a redirect
}

// failed keeps the first failure of the body.
func (u *upload) failed(err error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err == nil {
		u.err = &BodyError{err}
	}
	return u.err
}

// reason returns why err came, if that is the body.
func (u *upload) reason(err error) error {
	if u == nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err != nil {
		return u.err
	}
	return err
}

// watched counts only the time in which the network is waited for.
type watched struct {
	io.ReadCloser
	upload *upload
	dog    *watchdog
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	w.dog.hold()
	n, err := w.ReadCloser.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		w.dog.feedFor(answerPatience * w.dog.limit)
	case err != nil && w.dog.ctx.Err() != nil:
		// The request ended before.
	case err != nil:
		err = w.upload.failed(err)
	default:
		w.dog.feed()
	}
	return n, err
}

// feedFor is feed for another time than the limit.
func (w *watchdog) feedFor(d time.Duration) { w.timer.Reset(d) }
