package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nodeseal/nodeseal/internal/dryrun"
	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/install"
	"github.com/nodeseal/nodeseal/internal/result"
	"github.com/nodeseal/nodeseal/internal/store"
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
	if err := install.CheckImage(ctx, path, o.key.Bundle); err != nil {
		return err
	}
	wanted, src, err := o.readFirst(ctx, a, path)
	if err != nil {
		return err
	}
	if src != nil {
		defer src.Close()
	}
	var rep *form.Verified
	if *o.dryRun {
		rep, err = form.Verify(ctx, path, a.progress()) // a slot remembers nothing of it
	} else {
		rep, err = install.Verify(ctx, path, time.Now(), a.progress())
	}
	if err != nil {
		return err
	}
	if *o.dryRun && o.repair != "" {
		return a.showWould(o.planRepair(ctx, a, path, src, rep))
	}
	out := result.NewStore(path, rep)
	if len(rep.Findings) > 0 && o.repair != "" {
		res, err := install.Repair(ctx, src, path, o.repairOptions(a))
		if err != nil {
			return fmt.Errorf("repairing %s: %w", path, err)
		}
		if rep, err = install.Verify(ctx, path, time.Now(), a.progress()); err != nil {
			return err
		}
		out.Repair(result.NewStore(path, rep), res)
	}
	if wanted != nil {
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

// readFirst reads what the store is compared with and repaired from, before the store
// itself: an error in these need not wait for that. Both are nil if they are not asked for.
func (o *verifyOptions) readFirst(ctx context.Context, a *app, path string) (wanted *imagelist.List, src *install.Source, err error) {
	if len(o.images) > 0 {
		if wanted, err = readLists(a, o.images); err != nil {
			return nil, nil, err
		}
	}
	if o.repair == "" {
		return wanted, nil, nil
	}
	if src, err = o.open(ctx, a, o.repair); err == nil {
		if err = src.Fit(path, wanted); err == nil {
			return wanted, src, nil
		}
		src.Close()
	}
	return nil, nil, fmt.Errorf("repairing %s: %w", path, err)
}

func (o *verifyOptions) repairOptions(a *app) install.Options {
	return install.Options{ImportOptions: store.ImportOptions{Progress: a.progress()}, LimitMemory: limitMemory}
}

// planRepair says what install.Repair would do about what was found.
func (o *verifyOptions) planRepair(ctx context.Context, a *app, path string, src *install.Source, rep *form.Verified) (*dryrun.Plan, error) {
	if len(rep.Findings) == 0 {
		return new(dryrun.Plan), nil
	}
	return install.PlanRepair(ctx, src, path, o.repairOptions(a))
}
