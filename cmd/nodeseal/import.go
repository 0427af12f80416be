package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/internal/base"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/nodeseal/nodeseal/internal/ui"
)

type importOptions struct {
	slots   slotOptions
	store   string
	jobs    int
	noSeal  bool
	noMount bool
	format  formatOptions
	key     keyOptions
	part    partOptions
	base    baseOptions
}

func (o *importOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.store, "store", "", "make a single store in this `DIR`, which must not exist, and leave the slots alone")
	flags.IntVar(&o.jobs, "jobs", 0, "`NUMBER` of layers to extract at once (default: processors, at most 8)")
	flags.BoolVar(&o.noSeal, "no-seal", false, "leave the store unsealed")
	flags.BoolVar(&o.noMount, "no-mount", false, "seal without the read-only mount")
	o.format.addFlags(flags)
	o.key.addFlags(flags)
	o.part.addFlags(flags)
	o.slots.addFlags(flags)
	o.slots.addFillFlags(flags)
}

func newImportCommand(a *app) *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:   "import BUNDLE|IMAGE",
		Short: "Extract a bundle into a read-only additional image store, checked and sealed",
		Long: `Extract a bundle into an additional image store for CRI-O and podman: into the
node's free slot, or with --store into a directory of your own. Every layer is
verified against its diff ID while it is extracted; the store is put in place
only when the storage library resolves every reference in it, and is sealed.
An interrupted import goes on where it was. Where the slot or DIR holds the
bundle already, nothing is done. With --images, only the images of a list are
imported; one that the bundle lacks is an error (exit code 4).

With --format image the store is one file, an EROFS image that is the same on
every node, immutable and mounted read-only: its sha256, which is recorded beside
it, proves all of it. It needs a kernel with EROFS, and an interrupted import
begins anew. Slots may differ in form.

An IMAGE that --image-out has made is copied into the free slot as it is, with
FILE.sha256 beside it: it is mounted only after its digest was proven. With --key,
FILE.sig must be the key's signature of FILE.sha256 (--sign-key makes it; cosign's
verify-blob takes it).

A bundle of bundle --since leaves layers to its base. They are taken from the
slots, or from bundles beside it, or from what --base names: whatever has them.
Each is verified like those of the bundle, and the store is the one that the whole
bundle would have made. Where layers are missing they are named, and nothing is
made (exit code 5 where nobody has any of them, else 4).`,
		Example: `  nodeseal import /run/media/stick/release.tar.zst
  nodeseal import release.tar.zst --sysroot /mnt/new-disk
  nodeseal import release.tar.zst --store /srv/images
  nodeseal import release.tar.zst --images worker.lst
  nodeseal import 4.17.9-since-4.17.8.tar.zst --base 4.17.8.tar.zst
  nodeseal import release.tar.zst --format image
  nodeseal import release.tar.zst --store /srv/images --format image
  nodeseal import release.tar.zst --image-out release.erofs
  nodeseal import /run/media/stick/release.erofs`,
		Args: exactArgs("the bundle or the image"),
		RunE: func(cmd *cobra.Command, args []string) error { return runImport(cmd.Context(), a, args[0], &o) },
	}
	o.addFlags(cmd.Flags())
	o.base.addFlags(cmd, defaultBases)
	must(cmd.MarkFlagDirname("store"))
	o.format.complete(cmd)
	o.slots.complete(cmd)
	return cmd
}

func runImport(ctx context.Context, a *app, path string, o *importOptions) error {
	if o.jobs < 0 {
		return usageError{fmt.Errorf("--jobs %d: want 1 or more", o.jobs)}
	}
	if err := o.format.check(o.store); err != nil {
		return err
	}
	if o.store != "" && o.slots.sysroot != "" {
		return usageError{errors.New("--sysroot is about the slots, --store leaves them alone: name the directory on that disk with --store, or fill a slot")}
	}
	if err := needRoot(); err != nil {
		return err
	}
	if _, err := readSignKey("--sign-key", o.format.sign); err != nil {
		return err
	}
	boundMemory(o.jobs)
	if image.IsImage(path) {
		return importFile(ctx, a, path, o)
	}
	f, err := archive.OpenFile(ctx, path, archive.WithTrust(o.key.trust(path)))
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	src, err := base.Whole(f)
	if err != nil {
		return err
	}
	if src, err = o.part.choose(a, path, src); err != nil {
		return err
	}
	if o.store == "" && o.format.out == "" {
		return importSlot(ctx, a, path, f, src, o)
	}
	asImage, err := o.format.image(ctx, o.store)
	if err != nil {
		return err
	}
	if asImage {
		return importImage(ctx, a, path, f, src, o)
	}
	return importStore(ctx, a, path, f, src, o)
}

// boundMemory lets the garbage collector keep an import with up to 8 jobs below
// 256 MiB; each job more has its own share.
func boundMemory(jobs int) {
	const job, program = 16 << 20, 48 << 20
	limitMemory(program + job*int64(max(jobs, 8)))
}

// limitMemory sets the garbage collector's limit. GOMEMLIMIT overrules it.
func limitMemory(bytes int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(bytes)
	}
}

// importStore makes a single store, unless it is there.
func importStore(ctx context.Context, a *app, path string, f *archive.File, src store.Source, o *importOptions) error {
	out := importResult{Store: o.store}
	var err error
	if out.Already, err = dir.Present(ctx, src, o.store); err != nil {
		return fmt.Errorf("importing %s: %w", path, err)
	}
	if out.Already {
		// A run before may have been killed behind the rename.
		if _, err := dir.Clean(o.store); err != nil {
			return err
		}
	} else {
		b, err := o.base.onNode(ctx, a, path, f, src, &o.slots, true)
		if err != nil {
			return fmt.Errorf("importing %w", err)
		}
		defer b.close()
		res, err := dir.Import(ctx, b.src, o.store, store.ImportOptions{
			Jobs: o.jobs, NoDevices: o.part.noDevices, Reuse: b.stores(), Progress: a.progress(),
		})
		if err != nil {
			return fmt.Errorf("importing %s: %w", path, b.blame(err))
		}
		out.Store = res.Path
		out.count(&res.Counts)
		out.addBase(b)
	}
	if !o.noSeal {
		// Also what a run before made and did not come to seal.
		rep, err := seal.Seal(ctx, out.Store, seal.Options{NoMount: o.noMount, Label: dir.Label()})
		if err != nil {
			return fmt.Errorf("the store is whole, but not sealed: %w", err)
		}
		out.Seal = &rep
	}
	return a.show(out)
}

// importSlot fills the free slot.
func importSlot(ctx context.Context, a *app, path string, f *archive.File, src store.Source, o *importOptions) error {
	root, err := o.slots.open(o.noMount)
	if err != nil {
		return err
	}
	opts, err := o.slots.fillOptions(a, o.jobs)
	if err != nil {
		return err
	}
	if opts.Image, err = o.format.inSlot(ctx, root); err != nil {
		return err
	}
	if opts.Image {
		limitMemory(image.MemoryLimit(o.jobs))
	}
	b, err := o.base.onNode(ctx, a, path, f, src, &o.slots, !opts.Image)
	if err != nil {
		return fmt.Errorf("importing %w", err)
	}
	defer b.close()
	opts.NoSeal, opts.NoDevices, opts.Reuse = o.noSeal, o.part.noDevices, b.stores()
	res, err := root.Fill(ctx, b.src, opts)
	if err != nil {
		return fmt.Errorf("importing %s: %w", path, b.blame(err))
	}
	out := newFilledResult(res, &o.slots)
	out.addBase(b)
	return a.show(out)
}

// importResult is what import prints. Bytes are those of the unpacked layers.
type importResult struct {
	Store string `json:"store"`
	// Slot is the slot that was filled, Already that the bundle was there before.
	Slot       slot.Name `json:"slot,omitempty"`
	Already    bool      `json:"already,omitempty"`
	Images     int       `json:"images"`
	References int       `json:"references"`
	Layers     int       `json:"layers"`
	Files      int64     `json:"files"`
	Bytes      int64     `json:"bytes"`
	TakenOver  int       `json:"takenOver"`
	// Taken are layers from the other slot or from stores of the base, Extracted
	// those from the bundle or from bundles of the base.
	Taken     int `json:"taken,omitempty"`
	Extracted int `json:"extracted"`
	// Based are the layers that the bundle left to its base, Base where they were.
	Based int      `json:"based,omitempty"`
	Base  []string `json:"base,omitempty"`
	// Image is the file that holds the store, where one does, with its digest and
	// its length.
	Image      string        `json:"image,omitempty"`
	Digest     digest.Digest `json:"digest,omitempty"`
	ImageBytes int64         `json:"imageBytes,omitempty"`
	// Signature is the file with the signature of Image's digest, with --sign-key.
	Signature string       `json:"signature,omitempty"`
	Seal      *seal.Report `json:"seal,omitempty"`
}

func newFilledResult(f *slot.Filled, slots *slotOptions) importResult {
	out := importResult{Store: f.Path, Slot: f.Slot, Already: f.Already, Seal: f.Seal}
	if slots.sysroot != "" && f.Seal != nil && f.Seal.FlagsSet() {
		rep := *f.Seal
		rep.Notes = []string{"that machine's units mount it read-only when it starts (nodeseal config)"}
		out.Seal = &rep
	}
	if f.Counts != nil {
		out.count(f.Counts)
	}
	if f.Image != nil {
		out.Digest, out.ImageBytes = f.Image.Digest, f.Image.Size
	}
	if file, ok := hasImage(f.Path); ok {
		out.Image = file
	}
	return out
}

// addBase adds what came from the base, where anything was done.
func (r *importResult) addBase(b *based) {
	if b.from != nil && !r.Already {
		r.Based, r.Base = b.from.Layers(), b.from.Paths()
	}
}

func (r *importResult) count(res *store.Counts) {
	r.Images, r.References, r.Layers = res.Images, res.References, res.Layers
	r.Files, r.Bytes, r.TakenOver = res.Files, res.Bytes, res.TakenOver
	r.Taken, r.Extracted = res.Taken, res.Extracted
}

func (r importResult) writeText(w io.Writer) error {
	p := &printer{w: w}
	switch {
	case r.Already && r.Slot == "":
		p.line("OK: nothing to do: %s holds this bundle", r.Store)
	case r.Already:
		p.line("OK: nothing to do: slot %s holds this bundle (%s)", r.Slot, r.Store)
	case r.Images == 0:
		p.line("OK: %s holds what an earlier run had finished", r.Store)
	default:
		p.line("OK: %s holds %s under %s, %s, %s", r.Store, plural(r.Images, "image"), plural(r.References, "reference"),
			plural(r.Layers, "layer"), ui.Bytes(max(r.Bytes, r.ImageBytes)))
	}
	if r.Based > 0 {
		p.line("%s from the base, verified: %s", plural(r.Based, "layer"), strings.Join(r.Base, ", "))
	}
	if r.Digest != "" {
		p.line("%s: %s, %s", r.Image, ui.Bytes(r.ImageBytes), r.Digest)
	}
	if r.Signature != "" {
		p.line("%s: signature of its digest", r.Signature)
	}
	if p.err == nil && r.Seal != nil {
		p.err = sealResult{*r.Seal}.writeText(w)
	}
	return p.err
}
