package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/install"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/trust"
)

// installOptions are the flags that commands which make stores share.
type installOptions struct {
	slots slotOptions
	key   keyOptions
	base  baseOptions
	form  formOptions
	jobs  int
	// without are references that are left out.
	without []string
	// dryRun is nil if the command has no such flag.
	dryRun *bool
}

// addFlags adds those of a command that fills slots.
func (o *installOptions) addFlags(cmd *cobra.Command, bases string) {
	flags := cmd.Flags()
	o.slots.addFlags(flags)
	o.slots.addFillFlags(flags)
	o.slots.complete(cmd)
	o.key.addFlags(flags)
	o.base.addFlags(cmd, bases)
	o.dryRun = dryRunFlag(cmd)
	flags.IntVar(&o.jobs, "jobs", 0, "`NUMBER` of layers to extract at once (default: processors, at most 8)")
}

// check refuses values that no import takes.
func (o *installOptions) check() error {
	if o.jobs < 0 {
		return usageError{fmt.Errorf("--jobs %d: want 1 or more", o.jobs)}
	}
	if o.slots.threshold < 0 || o.slots.threshold > 100 {
		return usageError{fmt.Errorf("--gc-threshold %d: want 0 to 100", o.slots.threshold)}
	}
	_, err := o.form.form()
	return err
}

// open opens the bundle or the image at path, of which images are wanted; none is all.
func (o *installOptions) open(ctx context.Context, a *app, path string, images ...string) (*install.Source, error) {
	limitMemory(install.MemoryLimit(false, o.jobs)) // until the form is known
	opts := install.OpenOptions{Bases: o.base.paths, Progress: a.progress()}
	var err error
	if opts.Keys, err = o.key.read(ctx, o.slots.sysroot); err != nil {
		return nil, err
	}
	if opts.Stores, err = o.slots.stores(); err != nil {
		return nil, err
	}
	for _, ref := range o.without {
		if ref, err = imagelist.Normalize(ref); err != nil {
			return nil, usageError{fmt.Errorf("--without: %w", err)}
		}
		opts.Without = append(opts.Without, ref)
	}
	if len(images) > 0 {
		if opts.Images, err = readLists(a, images); err != nil {
			return nil, err
		}
	}
	return install.Open(ctx, path, opts)
}

// intoSlot opens the source at path, and the slots into one of which it goes.
func (o *installOptions) intoSlot(ctx context.Context, a *app, path string) (install.Target, *install.Source, error) {
	root, err := o.slots.open(false)
	if err != nil {
		return install.Target{}, nil, err
	}
	src, err := o.open(ctx, a, path)
	return install.Target{Root: root}, src, err
}

// options are what every import has.
func (o *installOptions) options(a *app) install.Options {
	f, _ := o.form.form() // check has told
	return install.Options{
		ImportOptions: store.ImportOptions{Jobs: o.jobs, MaxUsage: o.slots.threshold, Progress: a.progress()},
		Form:          f, Now: time.Now(), LimitMemory: limitMemory,
	}
}

// limitMemory sets the garbage collector's limit. GOMEMLIMIT overrules it.
func limitMemory(bytes int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(bytes)
	}
}

// formOptions say what form a store gets.
type formOptions struct {
	format string
	out    string
	sign   trust.File
}

// addFlags adds those of import.
func (o *formOptions) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.format, "format", string(form.Dir),
		"`FORM` of the store: dir, a directory; image, one immutable file beside the slot or DIR, as DIR.erofs, mounted there; auto, image where the kernel can mount it; same, that of the slots")
	flags.StringVar(&o.out, "image-out", "", "make the store's image as this `FILE`, with its digest beside it, and mount nothing; nodeseal import FILE puts it into a slot")
	flags.Var(&o.sign, "sign-key", "with --image-out, sign FILE.sha256 with this private key (`PEM`), into FILE.sig")
	o.complete(cmd)
}

// addSlotFlags adds those of commands that only fill slots.
func (o *formOptions) addSlotFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.format, "format", string(form.Same),
		"`FORM` of the store: same, image where a slot holds one, else dir; dir, a directory; image, one immutable file beside the slot, mounted there; auto, image where the kernel can mount it")
	o.complete(cmd)
}

// complete completes the values of --format.
func (o *formOptions) complete(cmd *cobra.Command) {
	forms := []string{string(form.Dir), string(form.Image), string(form.Auto), string(form.Same)}
	must(cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(forms, cobra.ShellCompDirectiveNoFileComp)))
}

// form is that of --format.
func (o *formOptions) form() (form.Form, error) {
	f, err := form.Parse(o.format)
	if err != nil {
		return "", usageError{fmt.Errorf("--format %w", err)}
	}
	return f, nil
}

// check refuses what makes no sense together.
func (o *formOptions) check(store string) error {
	switch {
	case o.out != "" && store != "":
		return usageError{errors.New("--image-out and --store exclude each other")}
	case o.sign != "" && o.out == "":
		return usageError{errors.New("--sign-key signs what --image-out makes")}
	}
	return nil
}
