package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/slot"
)

// vendorStorageConf is what readers take where there is no nodeStorageConf.
const vendorStorageConf = "/usr/share/containers/storage.conf"

// nodeOptions say where a node has its configuration.
type nodeOptions struct {
	storageConf string
}

func (o *nodeOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.storageConf, "storage-conf", nodeStorageConf, "the storage.conf `FILE` that CRI-O and podman read")
}

func (o *nodeOptions) complete(cmd *cobra.Command) {
	must(cmd.MarkFlagFilename("storage-conf", "conf"))
}

// storage reads the node's storage.conf and says which file it was: "" where
// there is none, and the defaults hold.
func (o *nodeOptions) storage(slots *slotOptions) (nodeconfig.Storage, string, error) {
	paths := []string{slots.path(o.storageConf)}
	if o.storageConf == nodeStorageConf {
		paths = append(paths, slots.path(vendorStorageConf))
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) && len(paths) > 1 {
			continue
		}
		if err != nil {
			return nodeconfig.Storage{}, path, fmt.Errorf("reading storage.conf: %w", err)
		}
		conf, err := nodeconfig.ReadStorage(data)
		if err != nil {
			return nodeconfig.Storage{}, path, fmt.Errorf("%s: %w", path, err)
		}
		return conf, path, nil
	}
	conf, err := nodeconfig.ReadStorage(nil)
	return conf, "", err
}

// node returns what may need a slot.
func (o *nodeOptions) node(slots *slotOptions) (slot.Node, error) {
	conf, _, err := o.storage(slots)
	if err != nil {
		return slot.Node{}, err
	}
	node := slot.Node{GraphRoot: slots.path(conf.GraphRoot), Proc: "/proc", Boot: slot.BootID()}
	if slots.sysroot != "" {
		node.Proc = ""
	}
	for _, s := range conf.Stores {
		node.Stores = append(node.Stores, slots.path(s))
	}
	return node, nil
}

// configured reports whether the storage.conf of the node names a store.
func (o *slotOptions) configured(store string) bool {
	conf, _, err := (&nodeOptions{storageConf: nodeStorageConf}).storage(o)
	if err != nil {
		return false
	}
	abs, err := filepath.Abs(store)
	return err == nil && slices.ContainsFunc(conf.Stores, func(s string) bool { return filepath.Clean(o.path(s)) == abs })
}
