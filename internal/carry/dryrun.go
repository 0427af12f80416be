package carry

import (
	"context"
	"path/filepath"

	"github.com/nodeseal/nodeseal/bundle/split"
	"github.com/nodeseal/nodeseal/internal/dryrun"
)

// Plan says what Fill would write, and writes nothing. Errors are those of Fill.
func Plan(ctx context.Context, dir string, opts Options) (*dryrun.Plan, error) {
	out := new(dryrun.Plan)
	err := planned(ctx, dir, opts, func(f *filler, j *job) error {
		add := func(name string, size int64) {
			do := "write"
			if _, err := f.root.Lstat(name); err == nil {
				do = "write again, if it differs,"
			}
			out.Add(do, filepath.Join(dir, name), size)
		}
		for _, it := range append(j.items, j.whole...) {
			add(it.name, it.size)
		}
		if j.res.Parts > 0 {
			add(j.res.Bundle+split.Suffix, 0)
		}
		add(SumsFile, 0)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
