package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/mirror"
	"github.com/nodeseal/nodeseal/internal/ui"
)

// workDirName is the default work directory, beside the output.
const workDirName = "nodeseal-work"

type bundleOptions struct {
	lists     listOptions
	registry  registryOptions
	output    string
	work      string
	layers    string
	platforms []string
	level     int
	jobs      int
	keepGoing bool
}

func (o *bundleOptions) addFlags(flags *pflag.FlagSet) {
	o.lists.addFlags(flags)
	o.registry.addFlags(flags)
	flags.StringVarP(&o.output, "output", "o", "", "the bundle to write, NAME.tar.zst")
	flags.StringVar(&o.work, "work", "", "work directory, kept between runs (default: "+workDirName+" beside the output)")
	flags.StringVar(&o.layers, "layers", string(bundle.Expanded), "expanded: plain tars, smaller and faster to import; original: the registry's bytes")
	flags.StringSliceVar(&o.platforms, "platform", []string{"linux/amd64"}, "instances of multi-platform images to keep, os/arch[/variant]")
	flags.IntVar(&o.level, "level", 0, "zstd level, 1 (fastest) to 4 (smallest) (default 2)")
	flags.IntVar(&o.jobs, "jobs", 0, "layers in the works at once (default 8)")
	flags.BoolVar(&o.keepGoing, "keep-going", false, "bundle the rest when images fail, and exit with 3")
}

func newBundleCommand(a *app) *cobra.Command {
	var o bundleOptions
	cmd := &cobra.Command{
		Use:   "bundle --images LIST -o NAME.tar.zst",
		Short: "Mirror every image of a list into one bundle",
		Long: `Mirror every image of a list into one bundle.

Each reference is resolved to a digest, each layer is fetched once, verified
against its digest and its diff ID, and kept in the work directory. The bundle
is a plain OCI image layout in a tar, compressed with zstd. An interrupted run
goes on where it was.`,
		Example: `  nodeseal bundle --images images.lst -o release.tar.zst`,
		Args:    exactArgs(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return runBundle(cmd.Context(), a, &o) },
	}
	o.addFlags(cmd.Flags())
	must(cmd.RegisterFlagCompletionFunc("layers", oneOf(string(bundle.Expanded), string(bundle.Original))))
	must(cmd.MarkFlagFilename("output", "tar.zst", "zst"))
	return cmd
}

func runBundle(ctx context.Context, a *app, o *bundleOptions) error {
	form := bundle.LayerForm(o.layers)
	switch {
	case o.output == "":
		return usageError{fmt.Errorf("bundle: -o NAME.tar.zst is missing")}
	case form != bundle.Expanded && form != bundle.Original:
		return usageError{fmt.Errorf("--layers %q: want %s or %s", o.layers, bundle.Expanded, bundle.Original)}
	case o.level < 0 || o.level > 4:
		return usageError{fmt.Errorf("--level %d: want 1 to 4", o.level)}
	case o.jobs < 0:
		return usageError{fmt.Errorf("--jobs %d: want 1 or more", o.jobs)}
	}
	list, err := o.lists.read(a)
	if err != nil {
		return err
	}
	client, err := o.registry.client(a)
	if err != nil {
		return err
	}
	if o.work == "" {
		o.work = filepath.Join(filepath.Dir(o.output), workDirName)
	}
	res, err := mirror.Run(ctx, list, client, mirror.Options{
		Output: o.output, Work: o.work, Layers: form, Level: o.level, Jobs: o.jobs,
		Platforms: o.platforms, KeepGoing: o.keepGoing, Progress: a.progress(), Log: a.log(),
	})
	if err != nil {
		return err //nolint:wrapcheck // names the image
	}
	return a.showBundled(o, res)
}

func (a *app) showBundled(o *bundleOptions, res *mirror.Result) error {
	out := bundleResult{
		Output: o.output, Size: res.Size, SHA256: res.SHA256, Work: o.work,
		Images: len(res.Inventory.Images), Downloaded: res.Downloaded, Reused: res.Reused,
		Failed: make([]failedImage, len(res.Failed)),
	}
	for i, f := range res.Failed {
		out.Failed[i] = failedImage{Ref: f.Ref, Error: f.Err.Error()}
	}
	if err := a.show(out); err != nil {
		return err
	}
	if len(out.Failed) > 0 {
		return errPartial
	}
	return nil
}

// bundleResult is what bundle prints. Sizes are in bytes.
type bundleResult struct {
	Output     string        `json:"output"`
	Size       int64         `json:"size"`
	SHA256     digest.Digest `json:"sha256"`
	Images     int           `json:"images"`
	Downloaded int64         `json:"downloaded"`
	Reused     int64         `json:"reused"`
	Work       string        `json:"work"`
	Failed     []failedImage `json:"failed"`
}

type failedImage struct {
	Ref   string `json:"ref"`
	Error string `json:"error"`
}

func (r bundleResult) writeText(w io.Writer) error {
	p := &printer{w: w}
	p.line("%s: %s, %d images, %s", r.Output, ui.Bytes(r.Size), r.Images, r.SHA256)
	p.line("downloaded %s, reused %s; %s keeps the layers for the next bundle", ui.Bytes(r.Downloaded), ui.Bytes(r.Reused), r.Work)
	for _, f := range r.Failed {
		p.line("NOT in the bundle: %s: %s", f.Ref, f.Error)
	}
	return p.err
}
