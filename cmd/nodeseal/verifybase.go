package main

import (
	"context"
	"errors"
	"runtime"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/internal/base"
	"github.com/nodeseal/nodeseal/internal/progress"
)

const phaseVerifyBase = "verify base"

// verifiedBase is what verify says about the base of a bundle.
type verifiedBase struct {
	baseResult
	// Verified says that the layers that are left to it were looked for, Paths
	// where they are.
	Verified bool     `json:"verified"`
	Paths    []string `json:"paths,omitempty"`
	// Missing are those that nobody has, Damage those that are not what they
	// must be.
	Missing []baseLayer  `json:"missing,omitempty"`
	Damage  []baseDamage `json:"damage,omitempty"`
}

type baseLayer struct {
	Layer digest.Digest `json:"layer"`
	Image string        `json:"image"`
}

type baseDamage struct {
	Base  string        `json:"base"`
	Layer digest.Digest `json:"layer"`
	Error string        `json:"error"`
}

// ok says that nothing is known to be wrong.
func (b *verifiedBase) ok() bool { return len(b.Missing) == 0 && len(b.Damage) == 0 }

// verifyBase reads every layer that the bundle at path leaves to its base, where
// --base says who has it; else only what is left is said. It is nil where the
// bundle has no base.
func verifyBase(ctx context.Context, a *app, path string, rep *archive.Report, o *baseOptions) (*verifiedBase, error) {
	result := newBaseResult(rep.Inventory)
	if result == nil {
		return nil, nil
	}
	out := &verifiedBase{baseResult: *result}
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
			out.Missing = append(out.Missing, baseLayer{Layer: l.Digest, Image: l.Image})
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
		out.Damage = append(out.Damage, baseDamage{Base: d.Path, Layer: d.Layer, Error: d.Err.Error()})
	}
	return out, nil
}

// lines say what is wrong with the base, or what of it is not known.
func (b *verifiedBase) lines(p *printer) {
	for _, d := range b.Damage {
		p.line("DAMAGED  base %s: layer %s: %s", d.Base, d.Layer, d.Error)
	}
	for _, l := range b.Missing {
		p.line("MISSING  layer %s of %s: the base has to have it", l.Layer, l.Image)
	}
	switch {
	case b.Layers == 0:
	case !b.Verified:
		p.line("BASE     %s are left to %s; not verified: nodeseal verify BUNDLE --base STORE|BUNDLE does", b.layers(), b.name)
	case b.ok():
		p.line("BASE     %s are in %s; every digest is right", b.layers(), strings.Join(b.Paths, ", "))
	}
}
