package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nodeseal/nodeseal/internal/dryrun"
	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/install"
	"github.com/nodeseal/nodeseal/internal/result"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/image"
)

// runVerifyStore verifies a store, and with repair puts it right.
func runVerifyStore(ctx context.Context, a *app, path string, o *verifyOptions) error {
	if o.repair != "" {
		if !form.IsDir(path) {
			return usageError{errors.New("verify: --repair is for a store in its place: name the directory where the image is mounted")}
		}
		if err := install.NeedRoot(); err != nil {
			return err
		}
	}
	var rep *image.Verified
	var err error
	if *o.dryRun {
		rep, err = form.Verify(ctx, path, a.progress()) // a slot remembers nothing of it
	} else {
		rep, err = install.Verify(ctx, path, time.Now(), a.progress())
	}
	if err != nil {
		return err
	}
	if *o.dryRun && o.repair != "" {
		return a.showWould(o.planRepair(ctx, a, path, rep))
	}
	out := result.NewStore(path, rep)
	if len(rep.Findings) > 0 && o.repair != "" {
		res, err := o.repairStore(ctx, a, path)
		if err != nil {
			return fmt.Errorf("repairing %s: %w", path, err)
		}
		if rep, err = install.Verify(ctx, path, time.Now(), a.progress()); err != nil {
			return err
		}
		out.Repair(result.NewStore(path, rep), res)
	}
	if len(o.images) > 0 {
		wanted, err := readLists(a, o.images)
		if err != nil {
			return err
		}
		inv, err := form.Inventory(path)
		if err != nil {
			return err
		}
		out.Missing = install.Missing(inv, wanted)
		out.OK = out.OK && len(out.Missing) == 0
	}
	if err := a.show(out); err != nil {
		return err
	}
	if !out.OK {
		return errFound
	}
	return nil
}

// repairStore rebuilds the store from its undamaged layers and the bundle.
func (o *verifyOptions) repairStore(ctx context.Context, a *app, path string) (*install.Result, error) {
	src, err := o.open(ctx, a, o.repair)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	return install.Repair(ctx, src, path, install.Options{ImportOptions: store.ImportOptions{Progress: a.progress()}, LimitMemory: limitMemory})
}

// planRepair says what repairStore would do about what was found.
func (o *verifyOptions) planRepair(ctx context.Context, a *app, path string, rep *image.Verified) (*dryrun.Plan, error) {
	if len(rep.Findings) == 0 {
		return new(dryrun.Plan), nil
	}
	src, err := o.open(ctx, a, o.repair)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	return install.PlanRepair(ctx, src, path, install.Options{ImportOptions: store.ImportOptions{Progress: a.progress()}})
}
