package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/storageconf"
)

// nodeStorageConf is where a node has its storage.conf.
const nodeStorageConf = storageconf.Main

func newConfigCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print the configuration of nodes and clusters",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return noCommand(cmd, args[0])
			}
			return usageError{fmt.Errorf("config: say which configuration: one of %s", strings.Join(commandNames(cmd), ", "))}
		},
	}
	cmd.AddCommand(
		newConfigAllCommand(a),
		newConfigMachineConfigCommand(a),
		newConfigRuntimeCommand(a),
		newConfigPinnedCommand(a),
		newConfigDisruptionCommand(a),
		newConfigDaemonSetCommand(a),
		newConfigSignaturesCommand(a),
		newConfigUnitsCommand(a),
		newConfigStorageCommand(a),
		newConfigRegistriesCommand(a),
	)
	return cmd
}

func newConfigStorageCommand(a *app) *cobra.Command {
	var stores []string
	var from string
	cmd := &cobra.Command{
		Use:   "storage.conf --store DIR",
		Short: "Print a storage.conf that names the store",
		Long: `Print the node's storage.conf with the store among its additionalimagestores.
Comments, order and everything else stay as they are. Without --from it starts from the file
that podman and CRI-O read: /etc/containers/storage.conf, else the distribution's below
/usr/share/containers. What both need and the file does not set is added (driver, runroot,
graphroot).`,
		Example: `  nodeseal config storage.conf --store /var/lib/shared/nodeseal/a > storage.conf`,
		Args:    exactArgs(),
		RunE: func(*cobra.Command, []string) error {
			return runConfigStorage(a, from, stores)
		},
	}
	cmd.Flags().StringArrayVar(&stores, "store", nil, "`DIR` of the store; may be repeated")
	cmd.Flags().StringVar(&from, "from", "", "the storage.conf `FILE` to start from; - is standard input (default the node's, else the distribution's)")
	must(cmd.MarkFlagDirname("store"))
	return cmd
}

func runConfigStorage(a *app, from string, stores []string) error {
	if len(stores) == 0 {
		return usageError{errors.New("config storage.conf: --store DIR is missing")}
	}
	data, err := readConfig(a, &from)
	if err != nil {
		return err
	}
	for i, s := range stores {
		if stores[i], err = filepath.Abs(s); err != nil {
			return fmt.Errorf("store %s: %w", s, err)
		}
	}
	out, err := nodeconfig.Complete(data)
	if err == nil {
		out, err = nodeconfig.StorageConf(out, stores)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	return a.show(configFile{Name: nodeStorageConf, Content: string(out)})
}

// readConfig reads the storage.conf path, or the one that programs read, and names it.
func readConfig(a *app, path *string) (data []byte, err error) {
	if *path == "" || *path == nodeStorageConf {
		if *path, data, err = storageconf.First(storageconf.Options{}); *path == "" {
			*path = nodeStorageConf
		}
		return data, err
	}
	r, err := a.openInput(*path)
	if err != nil {
		return nil, err
	}
	return readAllClose(r, *path)
}
