package main

import (
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

Every flag can also come from the environment, as NODESEAL_<FLAG>. NO_COLOR=1 and
TERM=dumb leave out the colors that a terminal gets.

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
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return noCommand(cmd, args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.fromEnvironment(cmd.Flags()); err != nil {
				return err
			}
			if err := unusedInsecure(cmd); err != nil {
				return err
			}
			return a.begin()
		},
	}
	cmd.SetFlagErrorFunc(flagError)
	cmd.SetIn(a.stdin)
	cmd.SetOut(a.stdout)
	cmd.SetErr(a.stderr)
	a.addFlags(cmd.PersistentFlags())
	must(cmd.RegisterFlagCompletionFunc("progress", oneOf(progressModes()...)))
	addGroup(cmd, "staging", "At the staging site:",
		newListCommand(a), newBundleCommand(a), newSignCommand(a),
		newSplitCommand(a), newJoinCommand(a), newCarryCommand(a), newPushCommand(a))
	addGroup(cmd, "both", "Anywhere:",
		newInspectCommand(a), newDiffCommand(a), newVerifyCommand(a), newCleanCommand(a), newDemoCommand(a), newVersionCommand(a))
	addGroup(cmd, "node", "On a node:",
		newImportCommand(a), newImportStickCommand(a), newResealCommand(a), newRetireCommand(a), newStatusCommand(a),
		newServeCommand(a), newRehearseCommand(a), newReportCommand(a), newSealCommand(a), newUnsealCommand(a), newMountCommand(a), newUmountCommand(a))
	addGroup(cmd, "cluster", "For a cluster:",
		newConfigCommand(a), newAuditCommand(a))
	cmd.AddCommand(newDemoContainerCommand(a), newManCommand())
	addCompletions(cmd)
	return cmd
}

// addGroup adds commands under a title of their own in the help.
func addGroup(root *cobra.Command, id, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: id, Title: title})
	for _, c := range commands {
		c.GroupID = id
		root.AddCommand(c)
	}
}
