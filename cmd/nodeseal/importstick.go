package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/internal/carry"
	"github.com/nodeseal/nodeseal/internal/install"
	"github.com/nodeseal/nodeseal/internal/result"
	"github.com/nodeseal/nodeseal/internal/stick"
)

type importStickOptions struct {
	installOptions
	node string
	// device is mounted at the directory meanwhile; "" where it is mounted.
	device string
}

func newImportStickCommand(a *app) *cobra.Command {
	var o importStickOptions
	cmd := &cobra.Command{
		Use:   "import-stick DIR",
		Short: "Import the bundle on a stick, as the unit does when one is plugged in",
		Long: `Import the one bundle in a directory into the free slot, and write the result into
that directory too, as result-NODE.txt. With --key only a bundle that the key
signed. Where there is no bundle, or a slot holds it already, nothing is done.

With --device a block device is mounted at the directory while the command runs: only
with one of the file systems that sticks have, and read-only but for the result.

A bundle of bundle --since may have the bundles that it builds on beside it; they
give the layers that no slot has.`,
		Example: `  nodeseal import-stick /run/media/stick --key /etc/nodeseal/bundle.pub`,
		Args:    exactArgs("the directory"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runImportStick(cmd.Context(), a, args[0], &o)
		},
	}
	o.addFlags(cmd, "the slots, and the bundles beside it on the stick,")
	o.form.addSlotFlags(cmd)
	cmd.Flags().StringVar(&o.node, "node", "", "`NAME` of this node in the result's name (default the host's name)")
	cmd.Flags().StringVar(&o.device, "device", "", "mount this block `DEVICE` at DIR meanwhile: "+strings.Join(stick.Kinds(), ", ")+", without links, programs and devices")
	return cmd
}

func runImportStick(ctx context.Context, a *app, dir string, o *importStickOptions) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	if *o.dryRun {
		return o.plan(ctx, a, dir)
	}
	node := o.node
	if node == "" {
		if node, err = os.Hostname(); err != nil {
			return fmt.Errorf("naming the result: %w", err)
		}
	}
	if err := install.NeedRoot(); err != nil {
		return err
	}
	writable := func() error { return nil }
	if o.device != "" {
		mounted, merr := stick.Mount(o.device, dir)
		if errors.Is(merr, stick.ErrKind) {
			return preconditionError{merr}
		}
		if merr != nil {
			return merr
		}
		defer func() { err = errors.Join(err, mounted.Close()) }()
		writable = mounted.Writable
	}
	path, err := carry.Find(ctx, dir)
	if errors.Is(err, carry.ErrNoBundle) {
		return a.show(result.Stick{Node: node})
	}
	out := result.Stick{Node: node}
	if err == nil {
		out.Bundle = filepath.Base(path)
		if install.IsImage(path) {
			// It would be mounted to be proven: by a person's command, not by itself.
			err = fmt.Errorf("%s is an image and no bundle: nodeseal import takes it", path)
		}
	}
	if err == nil {
		out.Import, err = o.importFrom(ctx, a, path)
	}
	if err != nil {
		out.Error = err.Error()
	}
	if _, serr := os.Stat(dir); errors.Is(serr, fs.ErrNotExist) {
		return err // there is no stick to leave anything on
	}
	werr := writable()
	if werr == nil {
		werr = leaveOn(dir, out)
	}
	if werr != nil {
		a.progress().Warn(werr.Error()) // a stick may be write-protected
	}
	if err != nil {
		return err
	}
	return a.show(out)
}

// plan says what would be imported from a stick that is mounted.
func (o *importStickOptions) plan(ctx context.Context, a *app, dir string) error {
	if o.device != "" {
		return usageError{errors.New("--dry-run mounts nothing: mount the device read-only, and leave --device out")}
	}
	if err := install.NeedRoot(); err != nil {
		return err
	}
	path, err := carry.Find(ctx, dir)
	if err != nil {
		return err
	}
	root, err := o.slots.open(false)
	if err != nil {
		return err
	}
	src, err := o.open(ctx, a, path)
	if err != nil {
		return err
	}
	defer src.Close()
	return a.showWould(install.Plan(ctx, src, install.Target{Root: root}, o.options(a)))
}

// importFrom imports the bundle at path.
func (o *importStickOptions) importFrom(ctx context.Context, a *app, path string) (*result.Import, error) {
	root, err := o.slots.open(false)
	if err != nil {
		return nil, err
	}
	src, err := o.open(ctx, a, path)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	res, err := install.Run(ctx, src, install.Target{Root: root}, o.options(a))
	if err != nil {
		return nil, fmt.Errorf("importing %w", err)
	}
	out := result.NewImport(res, o.slots.sysroot != "")
	return &out, nil
}

// leaveOn writes the result on the stick, unless it is there.
func leaveOn(dir string, r result.Stick) error {
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		return err
	}
	return carry.LeaveResult(dir, r.Node, text.Bytes())
}
