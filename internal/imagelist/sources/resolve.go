package sources

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/imagelist/nodestore"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/store"
)

const (
	phase = "resolve"
	// parallel bounds the references that are resolved at once; the client
	// bounds what it asks of one registry below that.
	parallel = 32
)

// ResolveError says that nobody knows the digest of a reference.
type ResolveError struct {
	// Entry is the reference, with where it was found.
	Entry imagelist.Entry
	Err   error
}

// Error says which reference, where it was found, and why.
func (e *ResolveError) Error() string {
	where := ""
	if from := e.Entry.From; len(from) > 0 {
		where = " (" + from[0].String()
		if n := len(from) - 1; n > 0 {
			where += fmt.Sprintf(", and %d more", n)
		}
		where += ")"
	}
	return e.Entry.Ref + where + " is not resolved: " + e.cause()
}

// cause is why, without the reference, which Error says before.
func (e *ResolveError) cause() string {
	return strings.TrimPrefix(e.Err.Error(), "digest of "+e.Entry.Ref+": ")
}

// Unwrap returns the cause.
func (e *ResolveError) Unwrap() error { return e.Err }

// resolve asks the stores, and then the registry, for what no object resolved.
func (g *gatherer) resolve(ctx context.Context) error {
	open := g.res.List.Unresolved()
	if len(open) == 0 {
		return nil
	}
	g.Progress.Begin(phase, int64(len(open)), progress.Count)
	defer g.Progress.End(phase)
	src := &nodestore.Source{Stores: g.Stores}
	found := make([]digest.Digest, len(open))
	var mu sync.Mutex
	var failed []*ResolveError
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, e := range open {
		group.Go(func() error {
			g.Progress.Working(phase, e.Ref)
			d, err := g.digest(ctx, src, e.Ref)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				mu.Lock()
				failed = append(failed, &ResolveError{e, err})
				mu.Unlock()
			}
			found[i] = d
			g.Progress.Add(phase, 1)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, e := range open {
		if found[i] != "" {
			g.res.List.Resolve(e.Ref, found[i])
		}
	}
	slices.SortFunc(failed, func(a, b *ResolveError) int { return strings.Compare(a.Entry.Ref, b.Entry.Ref) })
	for _, f := range failed {
		g.problem(f)
	}
	return nil
}

func (g *gatherer) digest(ctx context.Context, stores *nodestore.Source, ref string) (digest.Digest, error) {
	m, err := stores.Manifest(ctx, ref)
	if err == nil {
		return m.Digest, nil
	}
	if !errors.Is(err, store.ErrUnknown) {
		return "", err
	}
	desc, err := g.res.Registry.Head(ctx, ref)
	if err != nil {
		return "", err
	}
	return desc.Digest, nil
}
