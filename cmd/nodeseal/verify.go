package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/split"
	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/install"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/ui"
)

const phaseVerify = "verify"

// verifyOptions are the flags of verify; those of an import are for a repair.
type verifyOptions struct {
	installOptions
	images []string
	repair string
}

func newVerifyCommand(a *app) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify BUNDLE|STORE",
		Short: "Rehash everything and name what is damaged; with --images, what is missing",
		Long: `Rehash everything in a bundle and name what is damaged: the blob, the images that
it hurts and, where the bundle was split, the part. With --images, also name the
references of the list that the bundle does not hold, with --key refuse a bundle
that this key did not sign. Exits with 4 when anything is damaged or missing.

A bundle of bundle --since proves alone that every layer it holds is whole, and
which layers each image has; for the others --base names stores and bundles that
have them, where all of them are rehashed too.

In a store, which is a directory, every layer's tar is made again from its files
and compared with the diff ID, and every other file with what the manifests and
configurations say. A store that is an image is proven by one hash: its digest is
compared with the one recorded beside it when it was made of verified layers, and
its records with what the manifests and configurations say; where the digest is
another one, the layers are read to name what is damaged. With --repair BUNDLE a damaged store is made anew from what
of it is whole and the bundle, exchanged in one step, and sealed again.`,
		Args: exactArgs("the bundle"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !form.IsDir(args[0]) && !install.IsImage(args[0]) {
				if o.repair != "" {
					return usageError{errors.New("verify: --repair is for a store, not for a bundle")}
				}
				return runVerify(cmd.Context(), a, args[0], &o)
			}
			if o.key.Key != "" && o.repair == "" {
				return usageError{errors.New("verify: --key is for a bundle, not for a store; or comes with --repair")}
			}
			if len(o.base.paths) > 0 && o.repair == "" {
				return usageError{errors.New("verify: --base is for a bundle, not for a store; or comes with --repair")}
			}
			return runVerifyStore(cmd.Context(), a, args[0], &o)
		},
	}
	cmd.Flags().StringArrayVar(&o.images, "images", nil, "`LIST` of references that the bundle must hold; may be repeated")
	o.key.addFlags(cmd.Flags())
	o.base.addFlags(cmd, "none; with --repair what is whole of the store, the slots, and the bundles beside BUNDLE")
	cmd.Flags().StringVar(&o.repair, "repair", "", "the `BUNDLE` to repair a damaged store from")
	must(cmd.MarkFlagFilename("repair", "tar.zst", "zst"))
	return cmd
}

func runVerify(ctx context.Context, a *app, path string, o *verifyOptions) error {
	keys, err := o.key.read("")
	if err != nil {
		return err
	}
	f, size, err := archive.OpenBytes(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var wanted *imagelist.List
	if len(o.images) > 0 {
		if wanted, err = readLists(a, o.images); err != nil {
			return err
		}
	}
	report := a.progress()
	report.Begin(phaseVerify, size, progress.Bytes)
	rep, err := archive.Verify(ctx, f, size, archive.VerifyOptions{
		Jobs:  runtime.GOMAXPROCS(0),
		Trust: install.Trust(path, keys),
		Read:  func(n int64) { report.Add(phaseVerify, n) },
	})
	var parts []*split.Error
	if errors.Is(err, bundle.ErrDamaged) || (err == nil && len(rep.Damage) > 0) {
		var partsErr error
		if parts, partsErr = split.Damaged(ctx, path); partsErr != nil {
			return errors.Join(err, partsErr)
		}
	}
	if err != nil {
		for _, part := range parts {
			err = errors.Join(err, part)
		}
		return err
	}
	report.End(phaseVerify)
	out := newVerifyResult(path, rep)
	out.Signed = keys != nil
	for _, part := range parts {
		out.Parts = append(out.Parts, partItem{Part: part.Part, Error: part.Err.Error()})
	}
	if out.Base, err = verifyBase(ctx, a, path, rep, &o.base); err != nil {
		return err
	}
	out.OK = out.OK && (out.Base == nil || out.Base.ok())
	if wanted != nil {
		out.Missing = install.Missing(rep.Inventory, wanted)
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

// verifyResult is what verify prints. Sizes are in bytes of the unpacked tar.
type verifyResult struct {
	Bundle string       `json:"bundle"`
	OK     bool         `json:"ok"`
	Images int          `json:"images"`
	Blobs  int          `json:"blobs"`
	Bytes  int64        `json:"bytes"`
	Damage []damageItem `json:"damage"`
	// Signed says that the signature is that of --key, or of a key of the node.
	Signed bool `json:"signed,omitempty"`
	// Parts are the parts that are not what the list of parts says.
	Parts []partItem `json:"parts,omitempty"`
	// Refused are the layers that are whole, but that no node would take.
	Refused []refusedItem `json:"refused,omitempty"`
	// Hurt are the images that the damage hurts.
	Hurt []string `json:"hurt"`
	// Missing are the references of --images that the bundle does not hold.
	Missing []string `json:"missing,omitempty"`
	// Base is what the bundle leaves to its base.
	Base *verifiedBase `json:"base,omitempty"`
}

type damageItem struct {
	Member string        `json:"member"`
	Blob   digest.Digest `json:"blob,omitempty"`
	Error  string        `json:"error"`
}

// refusedItem is a layer with a member that breaks the rules for layers.
type refusedItem struct {
	Layer  digest.Digest `json:"layer"`
	Member string        `json:"member"`
	Error  string        `json:"error"`
	Images []string      `json:"images"`
}

type partItem struct {
	Part  string `json:"part"`
	Error string `json:"error"`
}

func newVerifyResult(path string, rep *archive.Report) verifyResult {
	out := verifyResult{
		Bundle: path, OK: len(rep.Damage) == 0 && len(rep.Refused) == 0, Images: len(rep.Inventory.Images),
		Blobs: rep.Blobs, Bytes: rep.Bytes,
		Damage: make([]damageItem, len(rep.Damage)), Hurt: append([]string{}, rep.Images...),
	}
	for i, d := range rep.Damage {
		out.Damage[i] = damageItem{Member: d.Member, Blob: d.Blob, Error: d.Err.Error()}
	}
	for _, l := range rep.Refused {
		out.Refused = append(out.Refused, refusedItem{Layer: l.Blob, Member: l.Err.Name, Error: l.Err.Err.Error(), Images: l.Images})
	}
	return out
}

func (r verifyResult) writeText(w io.Writer) error {
	p := &printer{w: w}
	for _, d := range r.Damage {
		what := d.Member
		if d.Blob != "" {
			what = "blob " + d.Blob.String()
		}
		p.line("DAMAGED  %s: %s", what, d.Error)
	}
	for _, part := range r.Parts {
		p.line("DAMAGED  part %s: %s", part.Part, part.Error)
	}
	for _, l := range r.Refused {
		for _, ref := range l.Images {
			p.line("REFUSED  %s: a node does not take layer %s: member %q: %s", ref, l.Layer, l.Member, l.Error)
		}
	}
	for _, ref := range r.Hurt {
		p.line("HURT     %s", ref)
	}
	for _, ref := range r.Missing {
		p.line("MISSING  %s", ref)
	}
	if r.Base != nil {
		r.Base.lines(p)
	}
	if r.Signed {
		p.line("SIGNED   by the key")
	}
	if r.OK {
		p.line("OK: %s in %s, %s; every digest is right", plural(r.Images, "image"), plural(r.Blobs, "blob"), ui.Bytes(r.Bytes))
		return p.err
	}
	bad := len(r.Damage)
	lost := plural(len(r.Missing), "reference")
	if r.Base != nil {
		bad += len(r.Base.Damage)
		if n := len(r.Base.Missing); n > 0 {
			lost = fmt.Sprintf("%s and %s of the base", lost, plural(n, "layer"))
		}
	}
	refused := ""
	if len(r.Refused) > 0 {
		refused = fmt.Sprintf(", %s that nodes refuse", plural(len(r.Refused), "layer"))
	}
	p.line("NOT OK: %s damaged, %s of %d hurt, %s missing%s", plural(bad, "place"), plural(len(r.Hurt), "image"), r.Images, lost, refused)
	return p.err
}
