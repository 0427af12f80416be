package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

const (
	// pageSize bounds the objects of one answer.
	pageSize = 500
	// tries is how often a page is asked for when the connection breaks.
	tries = 3
	// maxObjects bounds how many objects of one kind are read: twice the pods that
	// Kubernetes is made for.
	maxObjects = 300_000
	// maxCustom bounds how many objects of one custom kind are read.
	maxCustom = 20_000
	// readBuffer is the length of the buffer before an answer, in bytes.
	readBuffer = 64 << 10
	phase      = "cluster"
)

// ErrUnreachable is wrapped by the error about an API server that does not
// answer, or goes away in the middle.
var ErrUnreachable = errors.New("the API server cannot be reached")

// errTooMany stops the list of a custom kind.
var errTooMany = fmt.Errorf("more than %d objects: the rest was not read", maxCustom)

// lister reads one list, in one namespace or in all, to its end.
type lister struct {
	client    *Client
	kind      kind
	namespace string
	each      func(kubeobject.Object)
	// seen finds what a page that is asked for again had given already.
	seen map[string]struct{}
}

// run calls each for every object of the list.
func (l *lister) run(ctx context.Context) error {
	l.seen = make(map[string]struct{})
	next, restarts := "", 0
	for {
		head, err := l.page(ctx, next)
		if apierrors.IsResourceExpired(err) && restarts < tries {
			// The pages took longer than the server keeps its history: go on with
			// the token that it offers, or from the start.
			restarts++
			next = ""
			var status apierrors.APIStatus
			if errors.As(err, &status) {
				next = status.Status().Continue
			}
			continue
		}
		if err != nil {
			return err
		}
		if next = head.Continue; next == "" {
			return nil
		}
		if l.kind.Custom && len(l.seen) >= maxCustom {
			return errTooMany
		}
	}
}

// page reads one page, again where the connection breaks.
func (l *lister) page(ctx context.Context, next string) (kubeobject.ListHead, error) {
	for try := 1; ; try++ {
		head, err := l.once(ctx, next)
		var status apierrors.APIStatus
		switch {
		case err == nil:
			return head, nil
		case ctx.Err() != nil:
			return head, ctx.Err()
		case errors.As(err, &status), garbage(err):
			return head, err
		case try == tries:
			return head, fmt.Errorf("listing %s after %d objects: %w: %w", l.kind.name(), len(l.seen), ErrUnreachable, err)
		}
		if err := l.client.sleep(ctx, time.Duration(try)*time.Second); err != nil {
			return head, err
		}
	}
}

// once asks for one page and hands on its objects while they come.
func (l *lister) once(ctx context.Context, next string) (kubeobject.ListHead, error) {
	req := l.client.rest.Get().AbsPath(l.kind.path(l.namespace)).
		SetHeader("Accept", "application/json").
		Param("limit", strconv.Itoa(pageSize))
	if next != "" {
		req.Param("continue", next)
	}
	if l.kind.Selector != "" {
		req.Param("labelSelector", l.kind.Selector)
	}
	body, err := req.Stream(ctx)
	if err != nil {
		return kubeobject.ListHead{}, err
	}
	defer body.Close()
	var count int64
	head, err := kubeobject.ReadList(bufio.NewReaderSize(body, readBuffer), func(raw []byte) error {
		o, err := kubeobject.Parse(raw, l.kind.GroupVersion.String(), l.kind.Kind)
		if err != nil {
			return err
		}
		if len(l.seen) >= maxObjects {
			return fmt.Errorf("%w: more than %d objects of the kind %s", kubeobject.ErrObject, maxObjects, l.kind.name())
		}
		key := o.Metadata.Namespace + "/" + o.Metadata.Name
		if _, again := l.seen[key]; !again {
			l.seen[key] = struct{}{}
			count++
			l.each(o)
		}
		return nil
	})
	l.client.Progress.Add(phase, count)
	return head, err
}

// garbage reports an answer that is whole, but not what it should be.
func garbage(err error) bool {
	return errors.Is(err, kubeobject.ErrObject) && !errors.Is(err, io.ErrUnexpectedEOF)
}

// gone reports errors that mean that there is nothing to list: a kind that was
// removed meanwhile, or that cannot be listed.
func gone(err error) bool {
	return apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err)
}

// statusCode is the HTTP status of an API error, or 0.
func statusCode(err error) int {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return int(status.Status().Code)
	}
	return 0
}

// fatal reports errors that every other kind would meet, too.
func fatal(err error) bool {
	return errors.Is(err, ErrUnreachable) || errors.Is(err, context.Canceled) ||
		errors.Is(err, context.DeadlineExceeded) || statusCode(err) == http.StatusUnauthorized
}
