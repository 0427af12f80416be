package main

import (
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/internal/difference"
	"github.com/nodeseal/nodeseal/internal/page"
	"github.com/nodeseal/nodeseal/internal/result"
)

func newDiffCommand(a *app) *cobra.Command {
	var key keyOptions
	var html string
	cmd := &cobra.Command{
		Use:   "diff FROM TO",
		Short: "Show how the images of two bundles, stores, lists or releases differ",
		Long: `Show which images TO adds to FROM, removes and changes: by the component of a release, else by
the repository, with versions and with the bytes of the layers that FROM lacks. FROM and TO
are each one of:

- a bundle, also in parts, or its inventory.json
- a slot, another store, or the image of one
- a list of references in any form that nodeseal list reads; - is standard input
- image-references out of a release image (oc adm release extract --file=image-references)

If both sides know their layers, as all but lists and releases do, diff also says how much a
bundle of TO carries with --since FROM, as bundle --dry-run does. Of a release in a registry,
make a list first: nodeseal list --release IMAGE --json > release.json.

Only heads and records are read; nodeseal verify proves the rest. The exit code is 0 whether
there are differences or not, and 4 if FROM or TO is damaged. With --html, diff also writes a
page with the same: what a stick carries, and each change with its versions and bytes.`,
		Example: `  nodeseal diff 4.17.8.tar.zst 4.17.9.tar.zst
  nodeseal diff /var/lib/shared/nodeseal/a /var/lib/shared/nodeseal/b
  nodeseal diff 4.17.8.tar.zst 4.17.9.tar.zst --html changes.html
  nodeseal list --cluster --json | nodeseal diff release.tar.zst - --json`,
		Args: exactArgs("FROM", "TO"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "-" && args[1] == "-" {
				return usageError{errors.New("diff: standard input can be one of the two only")}
			}
			report, err := difference.Read(cmd.Context(), args[0], args[1], key.Bundle, a.openList)
			if err != nil {
				return err
			}
			if !report.From.Signed && !report.To.Signed {
				if err := key.unused("diff", "stores, lists and releases"); err != nil {
					return err
				}
			}
			d := result.NewDiff(report)
			if html != "" {
				if err := page.WriteFile(html, func(w io.Writer) error { return d.WriteHTML(w, a.mark()) }); err != nil {
					return err
				}
			}
			return a.show(d)
		},
	}
	key.addFlags(cmd.Flags())
	cmd.Flags().StringVar(&html, "html", "", "also write the differences to `FILE`, as one HTML page")
	return cmd
}
