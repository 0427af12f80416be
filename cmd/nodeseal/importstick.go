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
	"time"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/carry"
	"github.com/nodeseal/nodeseal/internal/install"
	"github.com/nodeseal/nodeseal/internal/result"
	"github.com/nodeseal/nodeseal/internal/stick"
	"github.com/nodeseal/nodeseal/internal/successor"
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
		Long: `Import the one bundle in a directory into the free slot, and add the result to
result-NODE.txt in that directory. With --key, take only a bundle that the key signed.
If a slot holds the bundle already, nothing is done; without a bundle the exit code is 5.

With --device a block device is mounted at the directory while the command runs: only
with one of the file systems that sticks have, and read-only but for the result.

A bundle of bundle --since may have the bundles that it builds on beside it; they
give the layers that no slot has.

If this program is too old for the bundle, the program of the stick takes over, if it is
a later release and a key of the node signed it. The installed program stays.`,
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
	began := time.Now()
	place := successor.Place{Dir: dir, Device: o.device}
	out := result.Stick{Node: node, Program: programVersion(), Installed: a.lookup(successor.Installed)}
	if out.Installed != "" {
		out.Install = place.Install()
	}
	path, err := carry.Find(ctx, dir)
	if err == nil {
		out.Bundle = filepath.Base(path)
		if install.IsImage(path) {
			// It would be mounted to be proven: by a person's command, not by itself.
			err = fmt.Errorf("%s is an image and no bundle: nodeseal import takes it", path)
		}
	}
	if err == nil {
		err = o.importFrom(ctx, a, path, &out)
	}
	if errors.Is(err, bundle.ErrUnsupported) {
		err = o.handOver(ctx, a, place, err)
	}
	if err = named(err); err != nil {
		out.Error, out.Next = err.Error(), strings.ReplaceAll(hint(err), "nodeseal COMMAND", "nodeseal import-stick")
	}
	out.Time, out.Seconds = time.Now().UTC(), int64(time.Since(began).Seconds())
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
	to, src, err := o.intoSlot(ctx, a, path)
	if err != nil {
		return err
	}
	defer src.Close()
	return a.showWould(install.Plan(ctx, src, to, o.options(a)))
}

// importFrom imports the bundle at path.
func (o *importStickOptions) importFrom(ctx context.Context, a *app, path string, out *result.Stick) error {
	to, src, err := o.intoSlot(ctx, a, path)
	if err != nil {
		return err
	}
	defer src.Close()
	out.Release, out.Inventory = src.About()
	res, err := install.Run(ctx, src, to, o.options(a))
	if err != nil {
		return fmt.Errorf("importing %w", err)
	}
	imported := result.NewImport(res, o.slots.sysroot != "").Step(o.slots.configured)
	out.Import = &imported
	return nil
}

// handOver replaces this process with the program of the stick, if this program is too old for the
// bundle. A key of the node must have signed that program, and its version must be later. It returns only an error.
func (o *importStickOptions) handOver(ctx context.Context, a *app, stick successor.Place, tooOld error) error {
	fail := func(why error) error {
		return &successor.TooOldError{Err: tooOld, Why: why, Version: programVersion(), Stick: stick}
	}
	keys, err := o.key.read(ctx, o.slots.sysroot)
	if err != nil {
		return fail(err)
	}
	p, err := successor.Find(ctx, stick.Dir, programVersion(), keys)
	if err != nil {
		return fail(err)
	}
	defer p.Close()
	a.progress().Warn(fmt.Sprintf("%v: this is nodeseal %s, nodeseal %s of the stick takes over", tooOld, programVersion(), p.Version))
	a.closeProgress()
	return fail(p.Run())
}

// leaveOn adds the result to those on the stick.
func leaveOn(dir string, r result.Stick) error {
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		return err
	}
	return carry.LeaveResult(dir, r.Node, text.Bytes())
}
