package main

import (
	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/internal/base"
)

// baseOptions say where the layers are that a bundle leaves to its base.
type baseOptions struct{ paths []string }

func (o *baseOptions) addFlags(cmd *cobra.Command, where string) {
	cmd.Flags().StringArrayVar(&o.paths, "base", nil,
		"`STORE|BUNDLE` to take the layers from that a bundle of --since leaves out; may be repeated (default: "+where+" that have them)")
}

// defaultBases is where a base is looked for on a node, in words.
const defaultBases = "the slots, and the bundles beside BUNDLE,"

// finder looks where --base says, and nowhere else by itself.
func (o *baseOptions) finder(a *app) base.Finder {
	return base.Finder{Named: o.paths, Warn: a.progress().Warn}
}
