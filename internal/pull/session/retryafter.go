package session

import (
	"context"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// retryAfterKey is the context key under which an observer leaves a wait.
type retryAfterKey struct{}

// WithRetryAfter returns a context for one request, and what a registry or
// token server asked to wait in it.
func WithRetryAfter(ctx context.Context) (context.Context, func() time.Duration) {
	var wait atomic.Int64
	return context.WithValue(ctx, retryAfterKey{}, &wait), func() time.Duration { return time.Duration(wait.Load()) }
}

// observer notes Retry-After: the registry library drops the headers of the
// answers that it does not like.
type observer struct{ inner http.RoundTripper }

func (o observer) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := o.inner.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if wait, ok := req.Context().Value(retryAfterKey{}).(*atomic.Int64); ok {
		wait.Store(int64(retryAfter(resp)))
	}
	return resp, nil
}

// retryAfter returns what an answer that is an error asks to wait, 0 for
// nothing (RFC 9110, section 10.2.3). A point in time is taken relative to the
// answer's own Date: our clock may be wrong.
func retryAfter(resp *http.Response) time.Duration {
	value := resp.Header.Get("Retry-After")
	if value == "" || resp.StatusCode < 400 {
		return 0
	}
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
		return max(0, time.Duration(seconds)*time.Second)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return 0
	}
	return max(0, at.Sub(now))
}
