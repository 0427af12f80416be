package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/internal/nodeconfig/carried"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/manifest"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/site"
	"github.com/nodeseal/nodeseal/internal/trust"
)

const poolUsage = "`POOL`, a MachineConfigPool: master, worker, arbiter, or one of your own"

// onePool takes a --pool.
func onePool(cmd *cobra.Command, pool *string) {
	cmd.Flags().StringVar(pool, "pool", "", poolUsage)
	must(cmd.RegisterFlagCompletionFunc("pool", oneOf("master", "worker", "arbiter")))
}

// showObject prints an object, or says why it is refused.
func (a *app) showObject(name string, content []byte, err error) error {
	if err != nil {
		return refused(err)
	}
	return a.show(site.File{Name: name + ".yaml", Content: string(content)})
}

func newConfigMachineConfigCommand(a *app) *cobra.Command {
	var o site.Site
	var mirrors clusterOptions
	var pool string
	cmd := &cobra.Command{
		Use:   "machineconfig --pool POOL --ocp-version 4.N",
		Short: "Print the MachineConfig of a pool",
		Long: `Print the MachineConfig 99-zzz-nodeseal-POOL: the whole storage.conf with both
slots, tmpfiles.d and units that make the empty slots before anything names them,
mounts, the import from a stick and nodeseal serve, the drop-ins that send pulls
to it (with --bundle), and pins. Nothing in it changes from release to release,
as long as there is no new repository.

It reboots the pool. docs/openshift.md says in which order to apply what.`,
		Example: `  nodeseal config machineconfig --pool worker --ocp-version 4.18 --bundle release.tar.zst --cluster | oc apply -f -
  oc debug node/worker-0 -- cat /host/etc/containers/storage.conf | nodeseal config machineconfig --pool worker --ocp-version 4.15 --from -`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			content, err := o.MachineConfig(cmd.Context(), a.siteInputs(&mirrors), pool)
			return a.showObject("machineconfig-"+pool, content, err)
		},
	}
	onePool(cmd, &pool)
	addUnitFlags(cmd.Flags(), &o)
	addClusterFlags(cmd.Flags(), &o, &mirrors)
	return cmd
}

func newConfigRuntimeCommand(a *app) *cobra.Command {
	var pool, version, root string
	var artifacts bool
	cmd := &cobra.Command{
		Use:   "containerruntimeconfig --pool POOL --ocp-version 4.N",
		Short: "Print the ContainerRuntimeConfig that names the slots (4.23 and later)",
		Long: `Print the ContainerRuntimeConfig that has OpenShift itself name the slots in
storage.conf, from 4.23 on. Print the MachineConfig with
--container-runtime-config then: two storage.conf would work against each other.`,
		Example: `  nodeseal config containerruntimeconfig --pool worker --ocp-version 4.23`,
		Args:    exactArgs(),
		RunE: func(*cobra.Command, []string) error {
			v, err := site.ParseVersion(version)
			if err != nil {
				return refused(err)
			}
			content, err := manifest.ContainerRuntimeConfig(pool, v, site.Slots(root), artifacts)
			return a.showObject("containerruntimeconfig-"+pool, content, err)
		},
	}
	onePool(cmd, &pool)
	addVersionFlag(cmd.Flags(), &version)
	addRootFlag(cmd.Flags(), &root)
	addArtifactsFlag(cmd.Flags(), &artifacts, "")
	return cmd
}

func newConfigPinnedCommand(a *app) *cobra.Command {
	var pool, version, path string
	var osOnly bool
	var by trust.Bundle
	cmd := &cobra.Command{
		Use:   "pinnedimageset --pool POOL --ocp-version 4.N --bundle FILE",
		Short: "Print PinnedImageSets with the images of a bundle",
		Long: `Print PinnedImageSets with every image of a bundle by digest, at most 500 in each,
or with --os-only the operating system's alone. Pins of the MachineConfig only keep
images from kubelet's garbage collection. A PinnedImageSet does so too, and more:

- From 4.19.12 to 4.22 an upgrade reads the operating system's image from the slot
  only on nodes with a PinnedImageSet, else from a registry. The first boot of a
  node asks a registry all the same.
- The machine-config daemon pulls each image that a node does not have into the
  primary store, and wants storage of twice their compressed size and 16 GiB. If
  it cannot, the pool is degraded.
- It is of one release: apply it when the nodes have imported that release, before
  the upgrade, and delete or replace it before retire.

Pins may stay beside it if they cover its images, as those from the same bundle
do: CRI-O takes the last of its drop-ins, which is that of the pins. If they do not,
print the MachineConfig with --no-pins.`,
		Example: `  nodeseal config pinnedimageset --pool worker --ocp-version 4.20.4 --bundle release.tar.zst --os-only | oc apply -f -`,
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := site.ParseVersion(version)
			if err != nil {
				return refused(err)
			}
			if path == "" {
				return usageError{errors.New("config pinnedimageset: --bundle FILE is missing")}
			}
			has, err := carried.Read(cmd.Context(), path, by)
			if err != nil {
				return err
			}
			images := has.All
			if osOnly {
				images = has.OS
			}
			content, err := manifest.PinnedImageSets(pool, v, manifest.PinnedImages(images))
			return a.showObject("pinnedimageset-"+pool, content, err)
		},
	}
	onePool(cmd, &pool)
	addVersionFlag(cmd.Flags(), &version)
	cmd.Flags().StringVar(&path, "bundle", "", "the `BUNDLE` whose images are pinned")
	insecureFlag(cmd.Flags(), &by)
	cmd.Flags().BoolVar(&osOnly, "os-only", false, "pin only the images of operating systems")
	return cmd
}

func newConfigDisruptionCommand(a *app) *cobra.Command {
	var version, root string
	cmd := &cobra.Command{
		Use:   "nodedisruptionpolicy --ocp-version 4.N",
		Short: "Print the policy by which later changes reboot nothing (4.17 and later)",
		Long: `Print the part of MachineConfiguration/cluster by which later changes of pins,
registries and units reload services and reboot no node. The object exists: apply
it on the server's side, which keeps the entries of others.`,
		Example: `  nodeseal config nodedisruptionpolicy --ocp-version 4.18 | oc apply --server-side --field-manager=nodeseal -f -`,
		Args:    exactArgs(),
		RunE: func(*cobra.Command, []string) error {
			v, err := site.ParseVersion(version)
			if err != nil {
				return refused(err)
			}
			content, err := manifest.NodeDisruptionPolicy(v, site.Slots(root))
			return a.showObject("nodedisruptionpolicy", content, err)
		},
	}
	addVersionFlag(cmd.Flags(), &version)
	addRootFlag(cmd.Flags(), &root)
	return cmd
}

func newConfigDaemonSetCommand(a *app) *cobra.Command {
	var pools []string
	var root string
	var in manifest.Installer
	cmd := &cobra.Command{
		Use:   "daemonset --pool POOL... --image IMAGE",
		Short: "Print a DaemonSet that puts nodeseal on the nodes at staging",
		Long: `Print a privileged DaemonSet for each pool that copies nodeseal from an image to
` + "/var/usrlocal/bin" + ` on every node, relabels it and makes the empty slots. Its
image has a shell, cp and nsenter beside the program.`,
		Example: `  nodeseal config daemonset --pool master --pool worker --image registry.example/tools/nodeseal:1 | oc apply -f -`,
		Args:    exactArgs(),
		RunE: func(*cobra.Command, []string) error {
			if len(pools) == 0 {
				return usageError{errors.New("config daemonset: --pool is missing")}
			}
			content, err := manifest.DaemonSet(pools, in, site.Slots(root))
			return a.showObject("daemonset", content, err)
		},
	}
	cmd.Flags().StringArrayVar(&pools, "pool", nil, poolUsage+"; may be repeated")
	addInstallerFlags(cmd, &in)
	addRootFlag(cmd.Flags(), &root)
	return cmd
}

func addInstallerFlags(cmd *cobra.Command, in *manifest.Installer) {
	cmd.Flags().StringVar(&in.Image, "image", "", "`IMAGE` with nodeseal in it, for the DaemonSet")
	cmd.Flags().StringVar(&in.Program, "image-program", "/usr/local/bin/nodeseal", "`PATH` of nodeseal in that image")
}

func newConfigUnitsCommand(a *app) *cobra.Command {
	var o site.Site
	var output string
	cmd := &cobra.Command{
		Use:   "units",
		Short: "Print the systemd units and drop-ins of a node, for machines without OpenShift's operator",
		Long: `Print what the MachineConfig carries but for storage.conf and registries (config
storage.conf and config registries print those): tmpfiles.d, units, pins. The names are
those on the node; with --output they are written below a directory.`,
		Example: `  nodeseal config units -o / && systemd-tmpfiles --create nodeseal.conf && systemctl daemon-reload`,
		Args:    exactArgs(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return runConfigUnits(cmd.Context(), a, &o, output) },
	}
	addUnitFlags(cmd.Flags(), &o)
	cmd.Flags().StringVarP(&output, "output", "o", "", "write the files below this `DIR`, as below the node's /")
	must(cmd.MarkFlagDirname("output"))
	return cmd
}

func runConfigUnits(ctx context.Context, a *app, o *site.Site, output string) error {
	s, err := o.Machine(ctx, a.siteInputs(nil))
	if err != nil {
		return refused(err)
	}
	out, err := site.NodeFiles(s)
	if err != nil {
		return refused(err)
	}
	if output != "" {
		if err := out.Write(output); err != nil {
			return err
		}
	}
	return a.show(out)
}
