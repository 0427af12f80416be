package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/carry"
	"github.com/nodeseal/nodeseal/internal/dryrun"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/site"
	"github.com/nodeseal/nodeseal/internal/result"
	"github.com/nodeseal/nodeseal/internal/trust"
	"github.com/nodeseal/nodeseal/internal/ui"
)

type carryOptions struct {
	config  configAllOptions
	program string
	split   string
	signKey trust.File
	dryRun  *bool
}

func newCarryCommand(a *app) *cobra.Command {
	var o carryOptions
	cmd := &cobra.Command{
		Use:   "carry DIR --bundle FILE [--pool POOL... --ocp-version 4.N]",
		Short: "Fill a stick: bundle, program, configuration, sums, a page for the technician",
		Long: `Fill a directory, a mounted stick, with what a node without a network needs: the
bundle (in parts where the file system is FAT and the bundle is 4 GiB or more),
its signature, the program and an install.sh that puts it on a node, the
generated configuration, SHA256SUMS and a page for the technician, README.html and
README.txt. With --pool the
configuration is that of config all, without that of config units.

With --sign-key the program is signed, too (nodeseal.sig; else the signature beside
--program FILE is taken). A node that has the key installs no other program. With
--key or --sign-key the signatures of bundle and program are checked before anything
is written, and the page has the key's fingerprint. The key itself reaches a node by
its configuration, never from the stick.

A bundle of bundle --since goes on a stick as any other: for nodes that hold its
base in a slot. For others its base's bundle may lie there, too, as it is.

Every file is read back from the stick. An interrupted run goes on where it was.
A node imports by itself from a file system with the label NODESEAL.`,
		Example: `  mkfs.vfat -n NODESEAL /dev/sdX1 && mount /dev/sdX1 /mnt
  nodeseal carry /mnt --bundle release.tar.zst --pool master --pool worker --ocp-version 4.18`,
		Args: exactArgs("the directory"),
		RunE: func(cmd *cobra.Command, args []string) error { return runCarry(cmd.Context(), a, args[0], &o) },
	}
	o.config.addFlags(cmd.Flags())
	cmd.Flags().StringVar(&o.program, "program", "", "the nodeseal `FILE` to put on the stick, for nodes of another architecture (default this one)")
	cmd.Flags().Var(&o.signKey, "sign-key", "sign the program with this private key `FILE` (PEM), the bundle's; nodes check it before they install the program")
	cmd.Flags().StringVar(&o.split, "split", "", "parts of this `SIZE`, as 2GiB or 2GB, also where the file system needs none")
	o.dryRun = dryRunFlag(cmd)
	return cmd
}

func runCarry(ctx context.Context, a *app, dir string, o *carryOptions) error {
	path := o.config.Bundle
	if path == "" {
		return usageError{errors.New("carry: --bundle FILE is missing")}
	}
	opts := carry.Options{Bundle: path, Program: o.program, Made: a.mark(), Progress: a.progress()}
	var err error
	if o.split != "" {
		if opts.PartSize, err = ui.ParseBytes(o.split); err == nil && opts.PartSize == 0 {
			err = errors.New("want more than 0 bytes")
		}
		if err != nil {
			return usageError{fmt.Errorf("--split: %w", err)}
		}
	}
	if opts.Program == "" {
		if opts.Program, err = os.Executable(); err != nil {
			return fmt.Errorf("finding this program: %w", err)
		}
	}
	if opts.SignKey, err = readSignKey(ctx, "--sign-key", o.signKey); err != nil {
		return err
	}
	if o.config.Key != "-" {
		o.config.Trust.Key = o.config.Key
	}
	if o.config.Trust.Key == "" && opts.SignKey != nil {
		o.config.Trust.Public = signature.Keys{opts.SignKey.Public()}
	}
	opts.Insecure = o.config.Trust.Insecure
	if opts.Keys, opts.KeysFile, err = o.config.Trust.Keys(ctx, ""); err != nil {
		return err
	}
	config, err := o.configuration(ctx, a)
	if err != nil {
		return carryError(refused(err))
	}
	for _, f := range config.Files {
		opts.Config = append(opts.Config, carry.File{Name: strings.TrimPrefix(f.Name, "/"), Content: []byte(f.Content)})
	}
	if *o.dryRun {
		return a.showWould(planCarry(ctx, dir, opts))
	}
	res, err := carry.Fill(ctx, dir, opts)
	if err != nil {
		return carryError(err)
	}
	left, err := config.Left(filepath.Join(dir, "config"))
	if err != nil {
		return err
	}
	return a.show(result.Carry{Result: res, Left: left})
}

func planCarry(ctx context.Context, dir string, opts carry.Options) (*dryrun.Plan, error) {
	p, err := carry.Plan(ctx, dir, opts)
	return p, carryError(err)
}

// carryError says which exit code an error of a stick has.
func carryError(err error) error {
	var unsigned *trust.UnsignedError
	if errors.As(err, &unsigned) { // found for the configuration
		err = fmt.Errorf("%s: %w, and the nodes would refuse it", unsigned.Path, carry.ErrUnsigned)
	}
	switch {
	case errors.Is(err, carry.ErrSpace), errors.Is(err, carry.ErrForeign), errors.Is(err, carry.ErrUnsigned), errors.Is(err, carry.ErrName):
		return preconditionError{err}
	case errors.Is(err, carry.ErrParts):
		return usageError{err}
	}
	return err
}

// configuration is that of a cluster, or of a machine without one.
func (o *carryOptions) configuration(ctx context.Context, a *app) (site.Files, error) {
	if len(o.config.Pools) > 0 {
		return o.config.Files(ctx, a.siteInputs(&o.config.cluster))
	}
	if o.config.Version != "" {
		return site.Files{}, usageError{errors.New("--ocp-version needs --pool: without one the stick gets the units of a machine without a cluster")}
	}
	s, err := o.config.Machine(ctx, a.siteInputs(nil))
	if err != nil {
		return site.Files{}, err
	}
	return site.NodeFiles(s)
}
