package main

import (
	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/install"
	"github.com/nodeseal/nodeseal/internal/result"
	"github.com/nodeseal/nodeseal/internal/whatis"
)

func newInspectCommand(a *app) *cobra.Command {
	var key keyOptions
	cmd := &cobra.Command{
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
				if err := whatis.NoStore(args[0]); err != nil {
					return err
				}
			}
			if form.IsDir(args[0]) || install.IsImage(args[0]) {
				c, err := form.ReadContents(args[0])
				if err != nil {
					return err
				}
				return a.show(result.NewInspectStore(c.Path, c.Store, c.Stored))
			}
			f, err := key.Open(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer f.Close() //nolint:errcheck // read only
			return a.show(result.NewInspect(args[0], f.Size(), f.Inventory(), result.CarriedBy(f.Inventory()), f.RawInventory()))
		},
	}
	key.addFlags(cmd.Flags())
	return cmd
}
