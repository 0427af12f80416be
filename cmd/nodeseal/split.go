package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/internal/parts"
	"github.com/nodeseal/nodeseal/internal/result"
	"github.com/nodeseal/nodeseal/internal/trust"
	"github.com/nodeseal/nodeseal/internal/ui"
)

func newSplitCommand(a *app) *cobra.Command {
	var size, dir string
	var key keyOptions
	var dryRun *bool
	cmd := &cobra.Command{
		Use:   "split BUNDLE --size SIZE [-o DIR]",
		Short: "Write a bundle that exists in parts",
		Long: `Write a bundle that exists in parts: NAME.tar.zst.000 and on, with the list of their
sums, as bundle --split writes them, and the signature, if there is one. Parts that exist
are written in another size. The bundle stays.

Every command that takes a bundle takes one in parts, by its own name or that of any part.`,
		Example: `  nodeseal split release.tar.zst --size 4GiB -o parts`,
		Args:    exactArgs("the bundle"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if size == "" {
				return usageError{errors.New("split: --size SIZE is missing")}
			}
			n, err := ui.ParseBytes(size)
			if err == nil && n < minSplit {
				err = fmt.Errorf("%q is less than %s", size, ui.Bytes(minSplit))
			}
			if err != nil {
				return usageError{fmt.Errorf("--size: %w", err)}
			}
			return runParts(cmd.Context(), a, args[0], dir, key.Bundle, n, *dryRun)
		},
	}
	cmd.Flags().StringVar(&size, "size", "", "the `SIZE` of a part; 4GiB makes parts for FAT32")
	partsFlags(cmd, &dir, &key)
	dryRun = dryRunFlag(cmd)
	return cmd
}

func newJoinCommand(a *app) *cobra.Command {
	var dir string
	var key keyOptions
	var dryRun *bool
	cmd := &cobra.Command{
		Use:   "join BUNDLE [-o DIR]",
		Short: "Write a bundle in parts as one file",
		Long: `Write a bundle in parts as one file, NAME.tar.zst, with its signature, if there is one. The
bytes are compared with the list of parts before the file gets its name. The parts stay.`,
		Example: `  nodeseal join parts/release.tar.zst.000 -o /data`,
		Args:    exactArgs("the bundle"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runParts(cmd.Context(), a, args[0], dir, key.Bundle, 0, *dryRun)
		},
	}
	partsFlags(cmd, &dir, &key)
	dryRun = dryRunFlag(cmd)
	return cmd
}

func partsFlags(cmd *cobra.Command, dir *string, key *keyOptions) {
	key.addFlags(cmd.Flags())
	cmd.Flags().StringVarP(dir, "output", "o", ".", "write into this `DIR`, which must not hold the bundle in its other form")
	must(cmd.MarkFlagDirname("output"))
}

// runParts splits a bundle into parts of size bytes, or joins them if size is 0.
func runParts(ctx context.Context, a *app, path, dir string, by trust.Bundle, size int64, dryRun bool) (err error) {
	o := parts.Options{Bundle: path, Trust: by, Dir: dir, Progress: a.progress()}
	if dryRun {
		p, err := parts.Plan(ctx, o, size)
		return a.showWould(p, partsError(err))
	}
	var out result.Parts
	if size > 0 {
		out.Result, err = parts.Split(ctx, o, size)
	} else {
		out.Result, err = parts.Join(ctx, o)
	}
	if err != nil {
		return partsError(err)
	}
	return a.show(out)
}

func partsError(err error) error {
	if is(err, parts.ErrOne, parts.ErrMany) {
		return usageError{err}
	}
	return err
}
