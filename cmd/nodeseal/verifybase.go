package main

import (
	"context"
	"errors"
	"runtime"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/internal/base"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/result"
)

const phaseVerifyBase = "verify base"

// verifyBase reads every layer that the bundle at path leaves to its base, where
// --base says who has it; else only what is left is said. It is nil where the
// bundle has no base.
func verifyBase(ctx context.Context, a *app, path string, rep *archive.Report, o *baseOptions) (*result.VerifiedBase, error) {
	left := result.NewBase(rep.Inventory)
	if left == nil {
		return nil, nil
	}
	out := &result.VerifiedBase{Base: *left}
	if len(o.paths) == 0 {
		return out, nil
	}
	f, err := archive.OpenFile(ctx, path, archive.WithTrust(rep.Same))
	if errors.Is(err, bundle.ErrDamaged) {
		return out, nil // that was told
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	src, err := base.Whole(f)
	if err != nil {
		return nil, err
	}
	find := o.finder(a)
	b, err := find.Complete(ctx, path, f, src, base.Options{})
	var missing *base.MissingError
	if errors.As(err, &missing) {
		out.Verified = true
		for _, l := range missing.Layers {
			out.Missing = append(out.Missing, result.BaseLayer{Layer: l.Digest, Image: l.Image})
		}
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	defer b.Close()
	report := a.progress()
	report.Begin(phaseVerifyBase, b.Base.Bytes(), progress.Bytes)
	damaged, err := b.Base.Verify(ctx, runtime.GOMAXPROCS(0), func(n int64) { report.Add(phaseVerifyBase, n) })
	if err != nil {
		return nil, err
	}
	report.End(phaseVerifyBase)
	out.Verified, out.Paths = true, b.Base.Paths()
	for _, d := range damaged {
		out.Damage = append(out.Damage, result.BaseDamage{Base: d.Path, Layer: d.Layer, Error: d.Err.Error()})
	}
	return out, nil
}
