package pull

import (
	"context"
	"errors"
	"math/rand/v2" //nolint:depguard // the spread of waits is no output
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/docker/reference"

	"github.com/nodeseal/nodeseal/internal/pull/mirrors"
)

const (
	// maxRetryAfter is the longest wait that a registry may ask for: one that
	// wants more has failed for this run.
	maxRetryAfter = 5 * time.Minute
	firstBackoff  = 500 * time.Millisecond
	maxBackoff    = 30 * time.Second
)

// backoff is the wait after the given round of failures: it doubles from round
// to round, and half of it is chance, so that many clients do not come back at
// the same moment.
func backoff(round int) time.Duration {
	d := maxBackoff
	if round < 16 {
		d = min(maxBackoff, firstBackoff<<round)
	}
	return d/2 + chance(d/2)
}

// chance returns a part of d.
func chance(d time.Duration) time.Duration {
	return rand.N(d) //nolint:gosec // spread, not a secret
}

// try calls fn with one endpoint after the other until it succeeds. Endpoints
// whose failure may pass are tried again in further rounds; one that asks for
// a wait (Retry-After) is given it at once. Failures are recorded in e; the
// error is e, complete, or nil.
func (c *Client) try(ctx context.Context, e *Error, eps []mirrors.Endpoint, fn func(context.Context, mirrors.Endpoint) error) error {
	retries := c.o.Retries
	for round := 0; ; round++ {
		var again []mirrors.Endpoint
		for _, ep := range c.order(eps, e.Digest) {
			err := c.patiently(ctx, e, ep, &retries, fn)
			if err == nil {
				return nil
			}
			if ctx.Err() != nil {
				return failure(ctx, e)
			}
			if temporary(err) {
				again = append(again, ep)
			}
		}
		if len(again) == 0 || retries == 0 {
			return failure(ctx, e)
		}
		retries--
		eps = again
		wait := backoff(round)
		reason := verdict(e.Attempts)
		c.o.Log.Warn("trying again", "what", e.Op, "ref", e.Ref, "digest", e.Digest, "wait", wait, "reason", reason)
		c.o.OnWait(Wait{Host: again[0].Host(), For: wait, Reason: reason})
		if err := c.o.Sleep(ctx, wait); err != nil {
			return failure(ctx, e)
		}
	}
}

// patiently calls fn with ep, and again after each wait that the registry asks
// for, at the cost of a retry, and records the failure.
func (c *Client) patiently(ctx context.Context, e *Error, ep mirrors.Endpoint, retries *int, fn func(context.Context, mirrors.Endpoint) error) error {
	for {
		err := ep.Blocked
		if err == nil {
			err = fn(ctx, ep)
		}
		if err == nil {
			return nil
		}
		e.record(ep, err)
		var status *StatusError
		if !errors.As(err, &status) || status.retryAfter == 0 || !temporary(err) || *retries == 0 {
			return err
		}
		*retries--
		wait := status.retryAfter + chance(firstBackoff)
		c.o.Log.Warn("waiting as the registry asks", "host", ep.Host(), "wait", wait, "reason", err)
		c.o.OnWait(Wait{Host: ep.Host(), For: wait, Reason: err})
		if err := c.host(ep.Host()).wait(ctx, wait, c.o.Sleep); err != nil {
			return err
		}
	}
}

// record notes a failure of ep, in place of its last one.
func (e *Error) record(ep mirrors.Endpoint, err error) {
	name := endpointName(ep.Ref, e.Digest != "")
	for i := range e.Attempts {
		if a := &e.Attempts[i]; a.Endpoint == name {
			a.Tries++
			a.Err = err
			return
		}
	}
	e.Attempts = append(e.Attempts, Attempt{Endpoint: name, Tries: 1, Err: err})
}

// endpointName is the reference at the endpoint: for a blob the repository,
// since the blob has a digest of its own.
func endpointName(ref reference.Named, ofBlob bool) string {
	if ofBlob {
		return ref.Name()
	}
	return ref.String()
}

// order returns eps with those last that could not be reached a short while
// ago, and after them those whose bytes of d were rejected (d may be empty).
func (c *Client) order(eps []mirrors.Endpoint, d digest.Digest) []mirrors.Endpoint {
	rank := func(ep mirrors.Endpoint) int {
		switch {
		case d != "" && c.isRejected(d, ep):
			return 2
		case c.host(ep.Host()).isDown():
			return 1
		}
		return 0
	}
	ranks := make(map[string]int, len(eps))
	for _, ep := range eps {
		ranks[ep.Ref.String()] = rank(ep)
	}
	out := slices.Clone(eps)
	slices.SortStableFunc(out, func(a, b mirrors.Endpoint) int { return ranks[a.Ref.String()] - ranks[b.Ref.String()] })
	return out
}
