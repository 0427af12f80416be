package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/nodeseal/nodeseal/internal/imagelist/cluster"
	"github.com/nodeseal/nodeseal/internal/imagelist/objects"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
	"github.com/nodeseal/nodeseal/internal/nodeconfig"
)

// mirrored returns the mirrors of --mirrors and --cluster.
func (o *configRegistriesOptions) mirrored(ctx context.Context, a *app) ([]nodeconfig.MirroredSource, error) {
	var m mirrorReader
	for _, path := range o.mirrors {
		r, err := a.openInput(path)
		if err != nil {
			return nil, err
		}
		if err := errors.Join(kubeobject.Read(r, m.add), r.Close()); err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
	}
	if o.cluster {
		if err := o.fromCluster(ctx, a, &m); err != nil {
			return nil, err
		}
	}
	// A cluster's objects come in any order, and the files must be the same each time.
	slices.SortStableFunc(m.found, func(x, y nodeconfig.MirroredSource) int { return strings.Compare(x.Object, y.Object) })
	return m.found, nil
}

func (o *configRegistriesOptions) fromCluster(ctx context.Context, a *app, m *mirrorReader) error {
	cfg, err := cluster.Config(o.kubeconfig, o.context)
	if err != nil {
		return preconditionError{err}
	}
	client, err := cluster.New(cfg)
	if err != nil {
		return err
	}
	client.Progress, client.Sleep = a.progress(), a.sleep
	var failed error
	var mu sync.Mutex
	problems, err := client.Walk(ctx, func(obj kubeobject.Object) {
		mu.Lock()
		defer mu.Unlock()
		failed = errors.Join(failed, m.add(obj))
	})
	if err != nil {
		return err
	}
	for _, p := range problems {
		if _, mirrors := pullsOf(p.From.Kind); mirrors {
			failed = errors.Join(failed, p)
		}
	}
	return failed
}

// mirrorReader collects the mirrors of mirror sets, and passes by other objects.
type mirrorReader struct{ found []nodeconfig.MirroredSource }

func (m *mirrorReader) add(o kubeobject.Object) error {
	pulls, ok := pullsOf(o.Kind)
	if !ok {
		return nil
	}
	facts, err := objects.Extract(o)
	if err != nil {
		return err
	}
	for _, f := range facts.Mirrors {
		m.found = append(m.found, nodeconfig.MirroredSource{
			Source: f.Source, Mirrors: f.Mirrors, Pulls: pulls, NeverSource: f.NeverSource, Object: f.Kind + " " + f.Object,
		})
	}
	return nil
}

// pullsOf returns for which pulls the mirrors of a kind of object are; false for
// other kinds.
func pullsOf(kind string) (pulls nodeconfig.Pulls, ok bool) {
	switch kind {
	case "ImageDigestMirrorSet", "ImageContentPolicy", "ImageContentSourcePolicy":
		return nodeconfig.DigestPulls, true
	case "ImageTagMirrorSet":
		return nodeconfig.TagPulls, true
	}
	return "", false
}
