package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/pull/mirrors"
)

// progressWorth is how much of a blob must have come, in bytes, for a broken
// connection to count as the first one again.
const progressWorth = 1 << 20

// Blob opens blob d, which is size bytes long, at offset. The reader gives
// exactly the size-offset bytes that follow, or an error: a connection that
// breaks, stalls, is too slow or ends early is opened again where it was, by Range where
// the registry can and else by reading on from the start, at any endpoint that
// has the blob. It does not hash: who uses the bytes compares them with d, and
// calls Reject before it tries again.
//
// ctx governs the reader too. An open reader holds one of its host's
// MaxPerHost slots until it is closed or at its end; it is not safe for
// concurrent use.
func (c *Client) Blob(ctx context.Context, ref string, d digest.Digest, size, offset int64) (io.ReadCloser, error) {
	if err := d.Validate(); err != nil || d.Algorithm() != digest.SHA256 {
		return nil, fmt.Errorf("blob digest %q is not sha256", d)
	}
	if offset < 0 || offset > size {
		return nil, fmt.Errorf("blob %s: offset %d is not in its %d bytes", d, offset, size)
	}
	named, eps, err := c.resolve(ref)
	if err != nil {
		return nil, err
	}
	b := &blob{
		c: c, ctx: ctx, d: d, eps: eps, size: size, offset: offset,
		e: &Error{Op: OpBlob, Ref: named.String(), Digest: d},
	}
	if offset < size {
		if err := b.open(); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// blob is the reader that Blob returns.
type blob struct {
	c    *Client
	ctx  context.Context //nolint:containedctx // an io.Reader has no other way to be ended
	d    digest.Digest
	eps  []mirrors.Endpoint
	size int64
	e    *Error

	offset int64 // of the next byte
	body   io.ReadCloser
	from   mirrors.Endpoint // whose body it is
	err    error            // sticky

	breaks    int   // since progressWorth bytes came without one
	brokeAt   int64 // offset of the last break
	anyBreaks bool
}

// Read implements io.Reader.
func (b *blob) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.offset == b.size {
		return 0, b.finish()
	}
	if len(p) == 0 {
		return 0, nil
	}
	p = p[:min(int64(len(p)), b.size-b.offset)]
	for {
		n, err := b.body.Read(p)
		b.offset += int64(n)
		switch {
		case b.offset == b.size:
			return n, b.finish()
		case n > 0 && !errors.Is(err, ErrSlow):
			// An error comes again with the next Read.
			return n, nil
		case err == nil:
			continue
		case errors.Is(err, io.EOF):
			err = fmt.Errorf("ended after %d of %d bytes: %w", b.offset, b.size, io.ErrUnexpectedEOF)
		}
		if b.err = b.mend(err); b.err != nil || n > 0 {
			return n, b.err
		}
	}
}

// finish gives the slot back as early as can be.
func (b *blob) finish() error {
	b.err = io.EOF
	if b.body == nil {
		return io.EOF
	}
	// The blob is whole: an error of closing says nothing about it.
	_ = b.body.Close()
	b.body = nil
	return io.EOF
}

// Close implements io.Closer.
func (b *blob) Close() error {
	if b.err == nil {
		b.err = errors.New("blob is closed")
	}
	if b.body == nil {
		return nil
	}
	err := b.body.Close()
	b.body = nil
	return err
}

// mend opens the blob again after the body broke with cause.
func (b *blob) mend(cause error) error {
	_ = b.body.Close() // broken already
	b.body = nil
	b.e.record(b.from, cause)
	if b.ctx.Err() != nil {
		return failure(b.ctx, b.e)
	}
	again := b.anyBreaks && b.offset-b.brokeAt < progressWorth
	if again {
		b.breaks++
	} else {
		b.breaks = 1
	}
	if again || errors.Is(cause, ErrSlow) {
		b.demote()
	}
	b.anyBreaks, b.brokeAt = true, b.offset
	if b.breaks > b.c.o.Retries {
		return failure(b.ctx, b.e)
	}
	wait := backoff(b.breaks - 1)
	b.c.o.Log.Warn("blob broke off", "ref", b.e.Ref, "digest", b.d, "at", b.offset, "of", b.size, "wait", wait, "reason", cause)
	if err := b.c.o.Sleep(b.ctx, wait); err != nil {
		return failure(b.ctx, b.e)
	}
	return b.open()
}

// demote puts the endpoint that keeps breaking behind the others.
func (b *blob) demote() {
	i := slices.IndexFunc(b.eps, func(ep mirrors.Endpoint) bool { return ep.Ref.String() == b.from.Ref.String() })
	b.eps = append(slices.Delete(slices.Clone(b.eps), i, i+1), b.from)
}

// open opens the body at the offset.
func (b *blob) open() error {
	err := b.c.try(b.ctx, b.e, b.eps, func(ctx context.Context, ep mirrors.Endpoint) error {
		body, err := b.c.blobAt(ctx, ep, b.d, b.size, b.offset)
		if err != nil {
			return err
		}
		b.body, b.from = body, ep
		return nil
	})
	if err != nil {
		return err
	}
	b.c.noteServed(b.d, b.from)
	return nil
}

// blobAt opens a blob at one endpoint at offset, which is below size.
func (c *Client) blobAt(ctx context.Context, ep mirrors.Endpoint, d digest.Digest, size, offset int64) (io.ReadCloser, error) {
	header, want := http.Header{}, []int{http.StatusOK}
	if offset > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, size-1))
		want = append(want, http.StatusPartialContent)
	}
	resp, err := c.get(ctx, ep, http.MethodGet, "blobs", d.String(), header, want...)
	var status *StatusError
	if errors.As(err, &status) && status.Status == http.StatusRequestedRangeNotSatisfiable {
		return nil, fmt.Errorf("blob ends before byte %d: %w", offset, ErrSize)
	}
	if err != nil {
		return nil, err
	}
	skip, err := checkExtent(resp, size, offset)
	if err == nil && skip > 0 {
		_, err = io.CopyN(io.Discard, resp.Body, skip)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
	}
	if err != nil {
		_ = resp.Body.Close()
		if page := webPage("blob", resp.Response, nil); page != nil {
			return nil, page
		}
		return nil, err
	}
	return resp.Body, nil
}

// checkExtent holds an answer to a request for the bytes from offset on
// against what the blob is, and returns how many bytes of it come before.
func checkExtent(resp *response, size, offset int64) (skip int64, err error) {
	if resp.StatusCode == http.StatusOK {
		if resp.ContentLength >= 0 && resp.ContentLength != size {
			return 0, fmt.Errorf("blob of %d bytes, must be %d: %w", resp.ContentLength, size, ErrSize)
		}
		return offset, nil
	}
	first, total, err := parseContentRange(resp.Header.Get("Content-Range"))
	switch {
	case err != nil:
		return 0, err
	case first != offset:
		return 0, fmt.Errorf("answer starts at byte %d, not at %d: %w", first, offset, ErrSize)
	case total >= 0 && total != size:
		return 0, fmt.Errorf("blob of %d bytes, must be %d: %w", total, size, ErrSize)
	}
	return 0, nil
}
