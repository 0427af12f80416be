package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/ui"
)

type importOptions struct {
	store   string
	jobs    int
	noSeal  bool
	noMount bool
}

func (o *importOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.store, "store", "", "directory of the store to make; it must not exist")
	flags.IntVar(&o.jobs, "jobs", 0, "layers to extract at once (default: processors, at most 8)")
	flags.BoolVar(&o.noSeal, "no-seal", false, "leave the store unsealed")
	flags.BoolVar(&o.noMount, "no-mount", false, "seal without the read-only mount")
}

func newImportCommand(a *app) *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:   "import BUNDLE --store DIR",
		Short: "Extract a bundle into a read-only additional image store, checked and sealed",
		Long: `Extract a bundle into an additional image store for CRI-O and podman. Every layer
is verified against its diff ID while it is extracted; the store gets its name
only when the storage library resolves every reference in it, and is then sealed.
An interrupted import goes on where it was.`,
		Example: `  nodeseal import /run/media/stick/release.tar.zst --store /var/lib/shared/nodeseal/a`,
		Args:    exactArgs("the bundle"),
		RunE:    func(cmd *cobra.Command, args []string) error { return runImport(cmd.Context(), a, args[0], &o) },
	}
	o.addFlags(cmd.Flags())
	must(cmd.MarkFlagDirname("store"))
	return cmd
}

func runImport(ctx context.Context, a *app, path string, o *importOptions) error {
	if o.store == "" {
		return usageError{errors.New("import: --store DIR is missing")}
	}
	if o.jobs < 0 {
		return usageError{fmt.Errorf("--jobs %d: want 1 or more", o.jobs)}
	}
	f, err := bundle.OpenFile(ctx, path)
	if err != nil {
		return err //nolint:wrapcheck // names the file
	}
	defer f.Close() //nolint:errcheck // read only
	res, err := dir.Import(ctx, f, o.store, dir.Options{Jobs: o.jobs, Progress: a.progress()})
	if err != nil {
		return fmt.Errorf("importing %s: %w", path, err)
	}
	out := importResult{
		Store: res.Path, Images: res.Images, References: res.References,
		Layers: res.Layers, Files: res.Files, Bytes: res.Bytes, TakenOver: res.TakenOver,
	}
	if !o.noSeal {
		rep, err := seal.Seal(ctx, res.Path, seal.Options{NoMount: o.noMount})
		if err != nil {
			return fmt.Errorf("the store is whole, but not sealed: %w", err)
		}
		out.Seal = &rep
	}
	return a.show(out)
}

// importResult is what import prints. Bytes are those of the unpacked layers.
type importResult struct {
	Store      string       `json:"store"`
	Images     int          `json:"images"`
	References int          `json:"references"`
	Layers     int          `json:"layers"`
	Files      int64        `json:"files"`
	Bytes      int64        `json:"bytes"`
	TakenOver  int          `json:"takenOver"`
	Seal       *seal.Report `json:"seal,omitempty"`
}

func (r importResult) writeText(w io.Writer) error {
	p := &printer{w: w}
	p.line("OK: %s holds %s under %s, %s, %s", r.Store, plural(r.Images, "image"), plural(r.References, "reference"),
		plural(r.Layers, "layer"), ui.Bytes(r.Bytes))
	if p.err == nil && r.Seal != nil {
		p.err = sealResult{*r.Seal}.writeText(w)
	}
	return p.err
}
