package main

import (
	"encoding/json"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/nodeseal/nodeseal/internal/ui"
)

func newInspectCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect BUNDLE|STORE|IMAGE",
		Short: "Show what is inside a bundle or a store, how big it is and what is shared",
		Long: `Show the images of a bundle or of a store, their sizes unpacked, and how much of each is its
own: not shared with any other image; and the signatures and other referrers that
are carried with them. Only the head of the bundle is read. Of a
bundle of bundle --since, the layers that are left to its base count too.
With --json, the inventory and the sums.`,
		Args: exactArgs("the bundle"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if form.IsDir(args[0]) {
				return runInspectStore(a, args[0], args[0])
			}
			if image.IsImage(args[0]) {
				return runInspectImage(a, args[0])
			}
			f, err := archive.OpenFile(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer f.Close() //nolint:errcheck // read only
			return a.show(inspectResult{
				Bundle: args[0], Size: f.Size(), Usage: f.Inventory().Whole().Usage(), Base: newBaseResult(f.Inventory()),
				Attached: inventoryAttached(f.Inventory()), inventory: f.Inventory(), Inventory: f.RawInventory(),
			})
		},
	}
}

// inspectResult is what inspect prints. Sizes are in bytes.
type inspectResult struct {
	Bundle    string          `json:"bundle"`
	Size      int64           `json:"size"`
	Usage     bundle.Usage    `json:"usage"`
	Base      *baseResult     `json:"base,omitempty"`
	Attached  *attachedResult `json:"attached,omitempty"`
	Inventory json.RawMessage `json:"inventory"`

	inventory *bundle.Inventory
}

func (r inspectResult) writeText(w io.Writer) error {
	p := &printer{w: w}
	inv := r.inventory
	p.line("%s: %s, layers %s", r.Bundle, ui.Bytes(r.Size), inv.Layers)
	if rel := inv.Release; rel != nil {
		p.line("release %s %s", rel.Version, rel.Image)
	}
	p.line("%s, %s, %s of layers, %s of them shared", plural(len(inv.Images), "image"), plural(r.Usage.Layers, "layer"),
		ui.Bytes(r.Usage.LayerBytes), ui.Bytes(r.Usage.SharedBytes))
	r.Attached.line(p, len(inv.Images))
	if r.Base != nil {
		p.line("%s left to the base, %s", r.Base.layers(), r.Base.name)
	}
	p.line("")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	pt := &printer{w: t, err: p.err}
	pt.line("SIZE\tOWN\tLAYERS\t  IMAGE")
	for i, img := range inv.Images {
		u := r.Usage.Images[i]
		pt.line("%s\t%s\t%d\t  %s", ui.Bytes(u.Bytes), ui.Bytes(u.OwnBytes), len(img.Layers), img.Ref)
		for _, name := range img.Names {
			pt.line("\t\t\t    also %s", name)
		}
		if len(img.Attachments) > 0 {
			pt.line("\t\t\t    with %s", attachmentCounts(img.Attachments))
		}
	}
	if pt.err == nil {
		pt.err = t.Flush()
	}
	return pt.err
}
