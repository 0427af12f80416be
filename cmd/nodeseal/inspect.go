package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/install"
	"github.com/nodeseal/nodeseal/internal/page"
	"github.com/nodeseal/nodeseal/internal/result"
	"github.com/nodeseal/nodeseal/internal/whatis"
)

func newInspectCommand(a *app) *cobra.Command {
	var key keyOptions
	var html string
	cmd := &cobra.Command{
		Use:   "inspect BUNDLE|STORE|IMAGE",
		Short: "Show what is inside a bundle or a store, how big it is and what is shared",
		Long: `Show the images of a bundle or of a store, their sizes unpacked, and how much of each is its
own: not shared with any other image; and the signatures and other referrers that
are carried with them. Only the head of the bundle is read. Of a
bundle of bundle --since, the layers that are left to its base count too.
With --json, the inventory and the sums. With --html, also a page with a picture of
where the bytes are, and tables of images and layers; it needs no other file.`,
		Example: `  nodeseal inspect release.tar.zst
  nodeseal inspect /var/lib/shared/nodeseal/a --html contents.html`,
		Args: exactArgs("the bundle"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := inspect(cmd.Context(), args[0], &key)
			if err == nil && html != "" {
				err = page.WriteFile(html, func(w io.Writer) error { return r.WriteHTML(w, a.mark()) })
			}
			if err != nil {
				return err
			}
			return a.show(r)
		},
	}
	key.addFlags(cmd.Flags())
	cmd.Flags().StringVar(&html, "html", "", "also write what is inside to `FILE`, as one HTML page")
	return cmd
}

// inspect reads what is inside of a bundle or a store.
func inspect(ctx context.Context, path string, key *keyOptions) (r result.Inspect, err error) {
	if form.IsDir(path) {
		if err := whatis.NoStore(path); err != nil {
			return r, err
		}
	}
	if form.IsDir(path) || install.IsImage(path) {
		if err := key.unused("inspect", "a store"); !asks(path) && err != nil {
			return r, err
		}
		c, err := install.ReadContents(ctx, path, key.Bundle)
		if err != nil {
			return r, err
		}
		return result.NewInspectStore(c.Path, c.Store, c.Stored), nil
	}
	f, err := key.Open(ctx, path)
	if err != nil {
		return r, err
	}
	defer f.Close() //nolint:errcheck // read only
	return result.NewInspect(path, f.Size(), f.Inventory(), result.CarriedBy(f.Inventory()), f.RawInventory()), nil
}
