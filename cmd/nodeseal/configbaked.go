package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/site"
	"github.com/nodeseal/nodeseal/internal/visible"
)

func newConfigBakedCommand(a *app) *cobra.Command {
	var o site.Baked
	cmd := &cobra.Command{
		Use:   "baked --image PATH --bundle BUNDLE",
		Short: "Print what an operating system image needs that has its images with it",
		Long: `Print the files for an operating system image (MicroShift, bootc, an appliance, Yocto)
that has the store with it, as the one EROFS file that nodeseal import --image-out writes:
the mount unit, storage.conf, the drop-ins that send pulls to nodeseal serve, its unit, and
CRI-O's pins. There are no slots and no import: a new release is a new operating system.
docs/baked.md has the whole way.`,
		Example: `  nodeseal import release.tar.zst --image-out rootfs/usr/share/nodeseal/images.erofs
  nodeseal config baked --image /usr/share/nodeseal/images.erofs --bundle release.tar.zst -o rootfs`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return runConfigBaked(cmd.Context(), a, &o) },
	}
	addBakedFlags(cmd.Flags(), &o)
	cmd.Flags().StringVarP(&o.Output, "output", "o", "", "write the files below this `DIR`, the root of the operating system image")
	must(cmd.MarkFlagDirname("output"))
	return cmd
}

func addBakedFlags(flags *pflag.FlagSet, o *site.Baked) {
	flags.StringVar(&o.Image, "image", "", "`PATH` of the store's file on the machine")
	flags.StringVar(&o.Bundle, "bundle", "", "pin the repositories of this `BUNDLE`, and answer for them")
	insecureFlag(flags, &o.Trust)
	flags.StringVar(&o.Mount, "mount", machine.BakedMount, "mount the store at `DIR` on the machine")
	flags.StringVar(&o.Program, "program", machine.BakedBinary, "`PATH` of nodeseal on the machine")
	flags.StringVar(&o.Label, "label", machine.BakedLabel, "give the mount the SELinux `LABEL`; \"\" gives none")
	flags.StringVar(&o.From, "from", "", "start from the storage.conf `FILE`; - reads standard input (default the one below --output)")
	flags.StringArrayVar(&o.Pins, "pin", nil, "pin the `PATTERN`, the start of references with a star; may be repeated (default from --bundle)")
	flags.StringArrayVar(&o.Mirrors, "mirrors", nil, "read mirror sets from `FILE`; - reads standard input; may be repeated")
	flags.StringVar(&o.Address, "listen", nodeconfig.DefaultRegistry, "`ADDRESS` of nodeseal serve")
}

func runConfigBaked(ctx context.Context, a *app, o *site.Baked) error {
	files, units, err := o.Files(ctx, a.siteInputs(nil))
	if err != nil {
		return refused(err)
	}
	if o.Output != "" {
		if err := files.Write(o.Output); err != nil {
			return err
		}
		a.progress().Say("enable the units: systemctl --root=" + visible.ShellWord(o.Output) + " enable '" + strings.Join(units, "' '") + "'")
	}
	return a.show(files)
}
