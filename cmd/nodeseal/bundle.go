package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/imagelist/sources"
	"github.com/nodeseal/nodeseal/internal/mirror"
	"github.com/nodeseal/nodeseal/internal/mirror/plan"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
	"github.com/nodeseal/nodeseal/internal/result"
	"github.com/nodeseal/nodeseal/internal/trust"
	"github.com/nodeseal/nodeseal/internal/ui"
)

// workDirName is the default work directory, beside the output.
const workDirName = "nodeseal-work"

// minSplit is the least size of a part, in bytes.
const minSplit = 64 << 10

type bundleOptions struct {
	lists     listOptions
	registry  registryOptions
	attached  attachmentOptions
	output    string
	work      string
	layers    string
	platforms []string
	// platformGiven says that platforms overrule those of the list.
	platformGiven bool
	level         string
	jobs          int
	keepGoing     bool
	dryRun        bool
	split         string
	keepOriginal  []string
	nodeDisk      string
	signKey       trust.File
	since, delta  string
	key           keyOptions // of since
	// layersGiven says that layers overrule those of since.
	layersGiven bool
}

func (o *bundleOptions) addFlags(flags *pflag.FlagSet) {
	o.lists.addFlags(flags)
	o.registry.addFlags(flags)
	o.attached.addFlags(flags)
	flags.StringVarP(&o.output, "output", "o", "", "the bundle `FILE` to write, NAME.tar.zst")
	flags.StringVar(&o.work, "work", "", "work `DIR`, kept between runs (default: "+workDirName+" beside the output)")
	flags.StringVar(&o.layers, "layers", string(bundle.Expanded), "`FORM` of the layers: expanded: plain tars, smaller and faster to import; original: the registry's bytes")
	flags.StringSliceVar(&o.platforms, "platform", []string{"linux/amd64"}, "`PLATFORM` of multi-platform images to keep, os/arch[/variant] (of a cluster's list: those of its nodes)")
	flags.StringVar(&o.level, "level", "", "compression `LEVEL`: 1 to 4, or fastest, default, better, best (default better)")
	flags.IntVar(&o.jobs, "jobs", 0, "`NUMBER` of layers in the works at once (default 8, or the processors where they are more)")
	flags.BoolVar(&o.keepGoing, "keep-going", false, "bundle the rest when images fail, and exit with 3")
	flags.Var(&o.signKey, "sign-key", "private key `FILE` (PEM, ECDSA P-256 or Ed25519) that signs the inventory into NAME.tar.zst.sig")
	flags.StringVar(&o.split, "split", "", "write parts of this `SIZE` and a list of their sums; 4GiB makes parts for FAT32")
	flags.StringArrayVar(&o.keepOriginal, "keep-original", nil, "keep the registry's own bytes of images that match `REF|GLOB`, besides operating systems (none: of no image); may be repeated")
	flags.StringVar(&o.nodeDisk, "node-disk", "", "refuse if a node's disk of this `SIZE` cannot hold two such slots and what an upgrade needs besides")
	flags.StringVar(&o.since, "since", "", "leave out what this earlier `RELEASE` has: a bundle, a slot, a store, or the inventory.json of a bundle; nodes take it from there")
	o.key.addFlags(flags)
	flags.Lookup("key").Usage = "public key `FILE` (PEM) that must have signed the RELEASE of --since (default " + machine.KeyFile + ", if this machine has it)"
	flags.StringVar(&o.delta, "delta", "", "`FORM` of --since: content: write changed layers as what differs from earlier files; layers: write them whole, for nodes with an older nodeseal, too (default: content if RELEASE has files)")
	flags.BoolVar(&o.dryRun, "dry-run", false, "say what would be moved, the space it needs and the time it takes; move no layers")
}

func newBundleCommand(a *app) *cobra.Command {
	var o bundleOptions
	cmd := &cobra.Command{
		Use:   "bundle {--images LIST|--cluster|--release IMAGE|--store DIR|--from-layout FILE} -o NAME.tar.zst",
		Short: "Mirror every image of a list into one bundle",
		Long: `Mirror every image of a list into one bundle. The list comes from any sources of
nodeseal list; where it may not be whole, bundle stops, unless --keep-going.

Each reference is resolved to a digest, each layer is fetched once, verified
against its digest and its diff ID, and kept in the work directory. The bundle
is a plain OCI image layout in a tar, compressed with zstd. An interrupted run
goes on where it was.

Before the first layer is moved, the room for the work directory and the bundle
is checked: that is all that is ever written, the bundle goes straight to its
place. --dry-run stops there. It measures on the beginnings of a few layers what
time the registries take and what each compression level makes of them.

Beside the images the bundle carries what their registries have attached to them:
sigstore signatures (sha256-HEX.sig), OCI referrers, simple signatures of the lookaside
servers of registries.d, and signatures of releases, of the cluster or of --signatures.
An image without a signature is a warning; with --policy one that the nodes' policy
would not let run is an error. Pods ask for images by the names of the list: these are
what the policy is about, wherever the bytes come from.

Operating systems (the payload's rhel-coreos, osImageURL of MachineConfigs, MachineOSConfigs)
are read by rpm-ostree from a registry, blob by blob. The bundle holds their layers as the
registry has them, nodes keep them so, and nodeseal serve answers them. --keep-original does
the same for other images. Such a bundle needs a nodeseal that knows "original-layers".

OCI artifacts of a list (charts, models) are carried as they are, and become a store of
artifacts, which CRI-O reads from 1.35 on. Readers need to know "artifacts" then.

With --since OLD the bundle holds only what OLD lacks, and names OLD as its base: for
nodes that have OLD's images, or get OLD's bundle too. A layer that has changed is
written as what differs from the files of OLD's layers, if that is smaller. OLD may be
a bundle that was made so itself. Its inventory.json is enough to leave out the layers
that are equal: zstd -dc OLD.tar.zst | tar -xO inventory.json. On a machine that has a key,
OLD.tar.zst.sig lies beside it as inventory.json.sig. --layers is OLD's then.`,
		Example: `  nodeseal bundle --images images.lst -o release.tar.zst --dry-run
  nodeseal bundle --images images.lst -o release.tar.zst --dry-run --node-disk 120GB
  nodeseal bundle --images images.lst -o release.tar.zst
  nodeseal bundle --images images.lst -o 4.17.9.tar.zst --since 4.17.8.tar.zst
  nodeseal bundle --cluster -o release.tar.zst --policy policy.json
  nodeseal bundle --store /var/lib/containers/storage -o node.tar.zst
  nodeseal bundle --from-layout oci-archive:app.tar --images images.lst -o release.tar.zst`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.platformGiven, o.layersGiven = cmd.Flags().Changed("platform"), cmd.Flags().Changed("layers")
			return runBundle(cmd.Context(), a, &o)
		},
	}
	o.addFlags(cmd.Flags())
	must(cmd.RegisterFlagCompletionFunc("layers", oneOf(string(bundle.Expanded), string(bundle.Original))))
	must(cmd.MarkFlagFilename("output", "tar.zst", "zst"))
	must(cmd.MarkFlagFilename("since", "zst", "json", "000"))
	must(cmd.MarkFlagFilename("policy", "json"))
	must(cmd.MarkFlagDirname("registries-d"))
	return cmd
}

// options checks the flags and puts them into the engine's words.
func (o *bundleOptions) options(a *app) (mirror.Options, error) {
	form := bundle.LayerForm(o.layers)
	out := mirror.Options{
		Output: o.output, Work: o.work, Layers: form, Jobs: o.jobs, Platforms: o.platforms,
		KeepGoing: o.keepGoing, Progress: a.progress(), Log: a.log(),
		Planned: func(p *plan.Plan) { a.progress().Say(result.PlanLine(p)) },
	}
	switch {
	case o.output == "":
		return out, usageError{fmt.Errorf("bundle: -o NAME.tar.zst is missing")}
	case form != bundle.Expanded && form != bundle.Original:
		return out, usageError{fmt.Errorf("--layers %q: want %s or %s", o.layers, bundle.Expanded, bundle.Original)}
	case o.jobs < 0:
		return out, usageError{fmt.Errorf("--jobs %d: want 1 or more", o.jobs)}
	}
	if o.level != "" {
		level, err := seekable.ParseLevel(o.level)
		if err != nil {
			return out, usageError{err}
		}
		out.Level = level
	}
	if o.split != "" {
		size, err := ui.ParseBytes(o.split)
		if err == nil && size < minSplit {
			err = fmt.Errorf("%q is less than %s", o.split, ui.Bytes(minSplit))
		}
		if err != nil {
			return out, usageError{fmt.Errorf("--split: %w", err)}
		}
		if _, err := os.Lstat(o.output); !errors.Is(err, fs.ErrNotExist) {
			return out, preconditionError{fmt.Errorf("%s is there and would be read in place of the parts: remove it, or name the output otherwise", o.output)}
		}
		out.Split = size
	}
	var err error
	if out.Keep, err = imagelist.NewKeep(o.keepOriginal); err != nil {
		return out, usageError{fmt.Errorf("--keep-original: %w", err)}
	}
	if o.nodeDisk != "" {
		if out.NodeDisk, err = ui.ParseBytes(o.nodeDisk); err != nil {
			return out, usageError{fmt.Errorf("--node-disk: %w", err)}
		}
	}
	if err := o.attached.check(); err != nil {
		return out, err
	}
	if out.Work == "" {
		out.Work = filepath.Join(filepath.Dir(o.output), workDirName)
	}
	return out, o.attached.read(&out)
}

func runBundle(ctx context.Context, a *app, o *bundleOptions) error {
	opts, err := o.options(a)
	if err != nil {
		return err
	}
	key, err := readSignKey(ctx, "--sign-key", o.signKey)
	if err != nil {
		return err
	}
	earlier, err := o.addSince(ctx, &opts)
	if err != nil {
		return err
	}
	defer earlier.Close()
	found, src, err := o.gather(ctx, a, &opts)
	if err != nil {
		return err
	}
	opts.Release = found.Release
	if o.dryRun {
		e, err := mirror.Estimate(ctx, found.List, src, opts, time.Now)
		if err != nil {
			return err
		}
		return a.showPlan(opts, e)
	}
	before := trust.InventoryAt(ctx, opts.Output)
	res, err := mirror.Run(ctx, found.List, src, opts)
	if err != nil {
		return err
	}
	out := result.NewMirrored(opts, res)
	if key != nil {
		if out.Signature, err = trust.SignInventory(opts.Output, res.Inventory, key); err != nil {
			return fmt.Errorf("the bundle is whole, but not signed: %w", err)
		}
	} else if stale, err := trust.DropSignature(opts.Output, before, res.Inventory); err != nil {
		return fmt.Errorf("the bundle is whole, but an earlier one's signature lies beside it: %w", err)
	} else if stale != "" {
		a.progress().Warn(stale + " was of an earlier bundle and is removed: this one is not signed")
	}
	if err := a.showBundled(out); err != nil {
		return err
	}
	if len(found.Problems) > 0 {
		return errPartial
	}
	return nil
}

// gather makes the list, and finds where its bytes and what is attached to them come
// from. A list that may not be whole is an error without --keep-going.
func (o *bundleOptions) gather(ctx context.Context, a *app, opts *mirror.Options) (_ *sources.Result, _ mirror.Source, err error) {
	if o.lists.signatures, err = o.attached.files(a); err != nil {
		return nil, nil, err
	}
	o.registry.registriesDir = o.attached.registriesDir
	found, stores, err := o.lists.gather(ctx, a, &o.registry, false)
	if err != nil {
		return nil, nil, err
	}
	a.problems(found.Problems)
	if len(found.Problems) > 0 && !o.keepGoing {
		return nil, nil, &incompleteError{len(found.Problems)}
	}
	if o.platformGiven {
		found.List.SetPlatforms(o.platforms)
	}
	return found, o.attached.source(found, stores, opts), nil
}

// incompleteError says that the list of images may lack some.
type incompleteError struct{ problems int }

// Error counts the problems, which were printed.
func (e *incompleteError) Error() string {
	return "the list of images may not be whole: " + result.Plural(e.problems, "problem")
}

func (a *app) showBundled(out result.Mirrored) error {
	if err := a.show(out); err != nil {
		return err
	}
	if len(out.Failed) > 0 {
		return errPartial
	}
	return nil
}

// showPlan prints what a dry run found. Its error says that the real run would
// not start, or not hold everything.
func (a *app) showPlan(o mirror.Options, e *mirror.Estimated) error {
	if err := a.show(result.NewMirrorPlan(o, e)); err != nil {
		return err
	}
	if err := e.Plan.Check(); err != nil {
		return err
	}
	if len(e.Failed) > 0 {
		return errPartial
	}
	return nil
}
