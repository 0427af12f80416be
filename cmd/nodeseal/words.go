package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/internal/nearest"
	"github.com/nodeseal/nodeseal/internal/result"
	"github.com/nodeseal/nodeseal/internal/slot"
)

func newVersionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, the commit, Go's version and the build tags",
		Args:  exactArgs(),
		RunE:  func(*cobra.Command, []string) error { return a.show(result.NewVersion(programVersion())) },
	}
}

// noCommand is the error for a command that is not there: below config with those that
// are, of which there are few.
func noCommand(parent *cobra.Command, name string) error {
	err := fmt.Errorf("there is no command %q", strings.TrimPrefix(parent.CommandPath()+" "+name, parent.Root().Name()+" "))
	names := commandNames(parent)
	meant := nearest.Of(name, names)
	if meant == "" && parent.HasParent() {
		err = fmt.Errorf("%w: want one of %s", err, strings.Join(names, ", "))
	}
	return didYouMean(err, meant)
}

func commandNames(parent *cobra.Command) (names []string) {
	for _, c := range parent.Commands() {
		if !c.Hidden {
			names = append(names, c.Name())
		}
	}
	return names
}

// flagError is the error for flags that cannot be read.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || unknown.GetSpecifiedShortnames() != "" {
		return usageError{err}
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	meant := nearest.Of(unknown.GetSpecifiedName(), names)
	if meant != "" {
		meant = "--" + meant
	}
	return didYouMean(fmt.Errorf("%s: %w", cmd.CommandPath(), err), meant)
}

func didYouMean(err error, word string) error {
	if word != "" {
		err = fmt.Errorf("%w: did you mean %s?", err, word)
	}
	return usageError{err}
}

func bundleSuffixes() []string { return []string{"tar.zst", "zst", "000", "erofs"} }

// addCompletions completes what commands take: slots, bundles and stores.
func addCompletions(root *cobra.Command) {
	bundles := bundleSuffixes()
	for _, c := range root.Commands() {
		addCompletions(c)
		switch c.Name() {
		case "retire", "mount", "umount":
			c.ValidArgsFunction = oneOf(string(slot.A), string(slot.B))
		case "import", "reseal", "sign", "split", "join", "inspect", "verify":
			c.ValidArgsFunction = cobra.FixedCompletions(bundles, cobra.ShellCompDirectiveFilterFileExt)
		}
		for _, name := range []string{"bundle", "since", "base", "repair"} {
			if c.Flags().Lookup(name) != nil {
				must(c.MarkFlagFilename(name, bundles...))
			}
		}
		if c.Flags().Lookup("level") != nil {
			must(c.RegisterFlagCompletionFunc("level", oneOf("fastest", "default", "better", "best")))
		}
	}
}
