package main

import (
	"context"
	"errors"

	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/imagelist/sources"
)

// neededOptions say who else may need an image of this node: a cluster, and
// with addFiles what oc printed of one.
type neededOptions struct {
	cluster clusterOptions
	images  []string
}

func (o *neededOptions) addFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&o.cluster.use, "cluster", false, "also ask the cluster: its workloads, ImageStreams, operators and node configuration")
	o.cluster.addReach(flags)
}

func (o *neededOptions) addFiles(flags *pflag.FlagSet) {
	flags.StringArrayVar(&o.images, "images", nil, "also ask `FILE`: objects that oc get -o json or -o yaml printed, or a list; - is standard input; may be repeated")
}

// errNamesNothing is about a cluster, or files, that cannot be all there is.
var errNamesNothing = errors.New("what was read names no image at all")

// given reports whether there is anybody to ask.
func (o *neededOptions) given() bool { return o.cluster.use || len(o.images) > 0 }

// check refuses flags that say nothing together.
func (o *neededOptions) check() error {
	if !o.cluster.use && (o.cluster.kubeconfig != "" || o.cluster.context != "") {
		return usageError{errors.New("--kubeconfig and --context say which cluster --cluster asks")}
	}
	return nil
}

// read returns what is needed now. Errors say that this is not known: see
// sources.Sources.Needed.
func (o *neededOptions) read(ctx context.Context, a *app) (*imagelist.List, error) {
	s := sources.Sources{Files: a.files(o.images), Progress: a.progress()}
	if o.cluster.use {
		client, err := o.cluster.client(a)
		if err != nil {
			return nil, err
		}
		s.Cluster = client
	}
	list, err := s.Needed(ctx)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err == nil && list.Len() == 0 {
		err = errNamesNothing
	}
	if err != nil {
		return nil, preconditionError{err}
	}
	return list, nil
}
