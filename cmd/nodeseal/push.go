package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/push"
	"github.com/nodeseal/nodeseal/internal/result"
)

type pushOptions struct {
	registry         registryOptions
	key              keyOptions
	images           []string
	include, exclude []string
	recompress       bool
	keepGoing        bool
	dryRun           *bool
}

func (o *pushOptions) addFlags(flags *pflag.FlagSet) {
	o.registry.addFlags(flags)
	o.key.addFlags(flags)
	flags.StringArrayVar(&o.images, "images", nil, "push only the images of this `LIST`; may be repeated")
	flags.StringArrayVar(&o.include, "include", nil, "push only images that match a `PATTERN` (* stands for anything); may be repeated")
	flags.StringArrayVar(&o.exclude, "exclude", nil, "leave out images that match a `PATTERN`; may be repeated")
	flags.BoolVar(&o.recompress, "recompress", false, "push images that the bundle has only expanded, under other digests: references by digest do not find them")
	flags.BoolVar(&o.keepGoing, "keep-going", false, "push the rest when images fail, and exit with 3")
}

func newPushCommand(a *app) *cobra.Command {
	var o pushOptions
	cmd := &cobra.Command{
		Use:   "push BUNDLE REGISTRY[/PREFIX]",
		Short: "Fill a registry from a bundle, and print the mirror sets for it",
		Long: `Fill a registry from a bundle, for a site that has one: each image under the path it has at its
source, REGISTRY[/PREFIX]/PATH, by its digest and its tags, with its signatures. An
ImageDigestMirrorSet, and for tags an ImageTagMirrorSet, that send a cluster's pulls there are printed.
Keep those of earlier pushes in the cluster: each has a name of its own.

The bundle must have the registry's own bytes: make it with bundle --layers original. Images that it
has only expanded are refused by name. --recompress pushes them with new layers: their digests change,
and references by digest do not find them. The old and new digests are printed.

Each blob is verified as it is read. A blob that the registry has is not sent again: run a push again to
resume it. A tag is moved. An image without one gets nodeseal-HEX: registries remove what has no tag.

A manifest list of which bundle and registry lack images is offered to the registry as it is. If the registry
refuses it, the list is reported (exit code 3): pods that ask by the digest of the list do not find it.`,
		Example: `  nodeseal bundle --images images.lst --layers original -o release.tar.zst
  nodeseal push release.tar.zst registry.example:5000/ocp --dry-run
  nodeseal push release.tar.zst registry.example:5000/ocp --authfile auth.json`,
		Args: exactArgs("the bundle", "the registry"),
		RunE: func(cmd *cobra.Command, args []string) error { return runPush(cmd.Context(), a, args[0], args[1], &o) },
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return bundleSuffixes(), cobra.ShellCompDirectiveFilterFileExt
		},
	}
	o.addFlags(cmd.Flags())
	o.dryRun = dryRunFlag(cmd)
	return cmd
}

func runPush(ctx context.Context, a *app, path, registry string, o *pushOptions) error {
	target, err := push.ParseTarget(registry)
	if err != nil {
		return usageError{err}
	}
	if path == "-" {
		return usageError{errors.New("push: a bundle on standard input cannot be read twice: name a file")}
	}
	filter, err := imagelist.NewFilter(o.include, o.exclude)
	if err != nil {
		return usageError{err}
	}
	o.registry.write = true
	opts := push.Options{Target: target, Recompress: o.recompress, KeepGoing: o.keepGoing, Jobs: o.registry.perHost, Progress: a.progress()}
	if opts.Client, err = o.registry.client(a); err != nil {
		return err
	}
	f, err := o.key.Open(ctx, path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	opts.Source = f
	var list *imagelist.List
	if len(o.images) > 0 {
		if list, err = readLists(a, o.images); err != nil {
			return err
		}
	}
	if opts.Want, err = push.Choose(f.Inventory(), list, filter, a.progress().Warn); err != nil {
		return err
	}
	if *o.dryRun {
		return a.showWould(push.Plan(ctx, opts))
	}
	res, err := push.Run(ctx, opts)
	if res == nil {
		return err
	}
	out := result.NewPush(path, target, res)
	if err = errors.Join(a.show(out), err); err != nil || out.Complete() {
		return err
	}
	return errPartial
}
