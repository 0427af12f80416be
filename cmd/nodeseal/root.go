package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the build.
var version = ""

// programVersion is the version that was built in, or what Go knows of it.
func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

const rootHelp = `Every image an OpenShift cluster needs, sealed on every node.

nodeseal mirrors images into one bundle at the staging site, imports the bundle
on each node into a read-only additional image store of CRI-O, and seals it, so
that nodes never need a registry.

  staging:  nodeseal bundle --images images.lst -o release.tar.zst
  node:     nodeseal import release.tar.zst
            nodeseal status

Every flag can also come from the environment, as NODESEAL_<FLAG>.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done in part (what failed is
listed), 4 damaged or missing, 5 a precondition is not met, 130 interrupted.`

// newRootCommand returns the program's commands.
func newRootCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "nodeseal",
		Short:             "Every image an OpenShift cluster needs, sealed on every node",
		Long:              rootHelp,
		Version:           programVersion(),
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("there is no command %q", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.fromEnvironment(cmd.Flags()); err != nil {
				return err
			}
			return a.begin()
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	cmd.SetIn(a.stdin)
	cmd.SetOut(a.stdout)
	cmd.SetErr(a.stderr)
	a.addFlags(cmd.PersistentFlags())
	must(cmd.RegisterFlagCompletionFunc("progress", oneOf(progressModes()...)))
	cmd.AddCommand(
		newListCommand(a),
		newBundleCommand(a),
		newInspectCommand(a),
		newVerifyCommand(a),
		newImportCommand(a),
		newCleanCommand(a),
		newImportStickCommand(a),
		newCarryCommand(a),
		newResealCommand(a),
		newRetireCommand(a),
		newStatusCommand(a),
		newSealCommand(a),
		newUnsealCommand(a),
		newMountCommand(a),
		newUmountCommand(a),
		newConfigCommand(a),
		newServeCommand(a),
		newAuditCommand(a),
		newDemoCommand(a),
		newDemoContainerCommand(a),
		newManCommand(),
	)
	return cmd
}
