package form

import (
	"context"
	"fmt"

	"github.com/nodeseal/nodeseal/internal/dryrun"
	"github.com/nodeseal/nodeseal/internal/seal"
)

// PlanSeal says what Seal would do, and changes nothing.
func PlanSeal(ctx context.Context, store string, opts seal.Options) (*dryrun.Plan, error) {
	rep, err := State(ctx, store)
	if err != nil {
		return nil, err
	}
	out := new(dryrun.Plan)
	if left := rep.Targets - rep.Immutable; left > 0 {
		out.Add("make immutable", fmt.Sprintf("%d of the %d files and directories of %s", left, rep.Targets, store), 0)
	}
	if !rep.Mounted && !opts.NoMount {
		out.Add("mount read-only", store, 0)
	}
	return out, nil
}

// PlanUnseal says what Unseal would do, and changes nothing.
func PlanUnseal(ctx context.Context, store string) (*dryrun.Plan, error) {
	rep, err := State(ctx, store)
	if err != nil {
		return nil, err
	}
	out := new(dryrun.Plan)
	if rep.Mounted {
		out.Add("unmount", store, 0)
	}
	if rep.Immutable > 0 {
		out.Add("make changeable", fmt.Sprintf("%d of the %d files and directories of %s", rep.Immutable, rep.Targets, store), 0)
	}
	return out, nil
}
