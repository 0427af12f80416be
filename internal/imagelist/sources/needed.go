package sources

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/imagelist/objects"
	"github.com/nodeseal/nodeseal/internal/store"
)

// IncompleteError says that it is not known what is needed. It wraps
// store.ErrPrecondition.
type IncompleteError struct {
	// Problems are what could not be read, never none.
	Problems []error
}

// maxProblems bounds how many lines the text of an error has.
const maxProblems = 20

// Error names the first problems.
func (e *IncompleteError) Error() string {
	var b strings.Builder
	b.WriteString("not everything that may need it could be read:")
	for i, p := range e.Problems {
		if i == maxProblems {
			fmt.Fprintf(&b, "\n  and %d more", len(e.Problems)-i)
			break
		}
		fmt.Fprintf(&b, "\n  %v", p)
	}
	return b.String()
}

// Unwrap returns store.ErrPrecondition.
func (e *IncompleteError) Unwrap() error { return store.ErrPrecondition }

// Needed returns what files and the cluster need now: objects that are over say
// nothing. Names without a registry, which a node may take for any, are in the
// list as they are written. Connect, Resolve and Skip are not used. No payload of
// a release is read: the release's image is in the list, and what runs of a
// payload its workloads name. Anything else that could not be read makes it an
// *IncompleteError.
func (s Sources) Needed(ctx context.Context) (*imagelist.List, error) {
	s.Connect, s.Resolve, s.Skip = nil, false, objects.Over
	res, err := s.Gather(ctx)
	if err != nil {
		return nil, err
	}
	var open []error
	for _, p := range res.Problems {
		var bad *imagelist.RefError
		var several *objects.AmbiguousError
		var payload *ReleaseError
		switch {
		case errors.As(p, &several): // all of its digests are in the list
		case errors.As(p, &payload):
		case errors.Is(p, imagelist.ErrShortName) && errors.As(p, &bad):
			e := imagelist.Entry{Ref: bad.Ref}
			var where objects.Problem
			if errors.As(p, &where) {
				e.From = []bundle.Origin{where.From}
			}
			res.List.Put(e)
		case errors.As(p, &bad): // nothing can start of what is no reference
		default:
			open = append(open, p)
		}
	}
	if len(open) > 0 {
		return nil, &IncompleteError{open}
	}
	return res.List, nil
}
