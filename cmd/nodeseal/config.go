package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/site"
)

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
		newConfigBakedCommand(a),
		newConfigInstallCommand(a),
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
			if len(stores) == 0 {
				return usageError{errors.New("config storage.conf: --store DIR is missing")}
			}
			file, err := site.StorageConf(a.siteInputs(nil), from, stores)
			if err != nil {
				return err
			}
			return a.show(file)
		},
	}
	cmd.Flags().StringArrayVar(&stores, "store", nil, "`DIR` of the store; may be repeated")
	cmd.Flags().StringVar(&from, "from", "", "the storage.conf `FILE` to start from; - is standard input (default the node's, else the distribution's)")
	must(cmd.MarkFlagDirname("store"))
	return cmd
}

// siteInputs are what configuration is read from; mirrors is the cluster that is asked for them.
func (a *app) siteInputs(mirrors *clusterOptions) site.Inputs {
	in := site.Inputs{Open: a.openInput, Mark: a.mark, Progress: a.progress()}
	if mirrors != nil && mirrors.use {
		in.Cluster = func() (site.Walker, error) { return mirrors.client(a) }
	}
	return in
}

// refused makes wrong usage of what the libraries refuse.
func refused(err error) error {
	if errors.Is(err, machine.ErrSettings) {
		return usageError{err}
	}
	return err
}
