package main

import (
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/storageconf"
)

// nodeOptions say where a node has its configuration.
type nodeOptions struct {
	storageConf string
}

func (o *nodeOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.storageConf, "storage-conf", storageconf.Main, "the storage.conf `FILE` that CRI-O and podman read")
}

func (o *nodeOptions) complete(cmd *cobra.Command) {
	must(cmd.MarkFlagFilename("storage-conf", "conf"))
}

// views returns what CRI-O and podman of the node take.
func (o *nodeOptions) views(slots *slotOptions) []storageconf.View {
	opts := storageconf.Options{Path: slots.path}
	if o.storageConf != storageconf.Main {
		opts.Named = o.storageConf
	}
	return storageconf.Views(opts)
}

// node returns what may need a slot.
func (o *nodeOptions) node(slots *slotOptions) (slot.Node, error) {
	node := slot.Node{Proc: "/proc", Boot: slot.BootID()}
	if slots.sysroot != "" {
		node.Proc = ""
	}
	var err error
	node.GraphRoots, node.Stores, err = storageconf.Dirs(o.views(slots), slots.path)
	return node, err
}

// configured reports whether CRI-O and podman of the node take a store.
func (o *slotOptions) configured(store string) bool {
	abs, err := filepath.Abs(store)
	views := (&nodeOptions{storageConf: storageconf.Main}).views(o)
	return err == nil && !slices.ContainsFunc(views, func(v storageconf.View) bool {
		return v.Err != nil || !slices.ContainsFunc(v.Storage.Stores, func(s string) bool { return filepath.Clean(o.path(s)) == abs })
	})
}
