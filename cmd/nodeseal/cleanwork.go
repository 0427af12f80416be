package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/mirror/workdir"
	"github.com/nodeseal/nodeseal/internal/result"
)

// cleanWorkOptions say what to keep of a work directory.
type cleanWorkOptions struct {
	work string
	keep []string
}

func (o *cleanWorkOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.work, "work", "", "instead, remove what the lists of --keep do not need from `DIR`, a work directory of bundle")
	flags.StringArrayVar(&o.keep, "keep", nil, "`LIST` of references by digest whose layers stay in --work; may be repeated")
}

// runCleanWork gives back what a work directory has of other images.
func runCleanWork(ctx context.Context, a *app, o *cleanWorkOptions, dryRun bool) error {
	if len(o.keep) == 0 {
		return usageError{errors.New("clean: --keep LIST is missing; to keep nothing, remove the work directory")}
	}
	list, err := readLists(a, o.keep)
	if err != nil {
		return err
	}
	var keep []digest.Digest
	for _, e := range list.Entries() {
		_, d := imagelist.Split(e.Ref)
		if d == "" {
			return usageError{fmt.Errorf("--keep: %s has no digest: nobody can say what it named when it was bundled", e.Ref)}
		}
		keep = append(keep, d)
	}
	res, err := workdir.Clean(ctx, o.work, keep, dryRun)
	if err != nil {
		return err
	}
	return a.show(result.CleanWork{Work: o.work, DryRun: dryRun, Cleaned: res})
}
