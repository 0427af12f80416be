package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/internal/demo"
	"github.com/nodeseal/nodeseal/internal/result"
	"github.com/nodeseal/nodeseal/internal/userns"
)

// demoContainerCommand is what the demo's container runs.
const demoContainerCommand = "demo-container"

func newDemoCommand(a *app) *cobra.Command {
	var keep string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the whole flow on this machine with a small made-up release",
		Long: `Run the whole flow on this machine: an embedded registry with a small made-up
release, a list of its images, one bundle, a verified and sealed store, and a
container that is started from the store with no network and changes its own
files. As an ordinary user it runs in a user namespace and leaves out the seal.
Nothing is left behind, unless --dir says where to keep it.`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), a, keep) },
	}
	cmd.Flags().StringVar(&keep, "dir", "", "keep everything in this `DIR`, which must not exist")
	must(cmd.MarkFlagDirname("dir"))
	return cmd
}

func newDemoContainerCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:    demoContainerCommand,
		Hidden: true,
		Args:   exactArgs(),
		RunE:   func(*cobra.Command, []string) error { return demo.Container(a.stdout) },
	}
}

func runDemo(ctx context.Context, a *app, keep string) (err error) {
	if userns.Needed() {
		return demoInNamespace(ctx, a)
	}
	dir, err := demoDir(keep)
	if err != nil {
		return err
	}
	root := !userns.Inside()
	if keep == "" {
		defer func() { err = errors.Join(err, demo.Remove(context.WithoutCancel(ctx), dir, root)) }()
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	var live io.Writer
	if !a.json {
		live = a.stdout
	}
	steps := result.NewDemo(keep, root, live, time.Now)
	err = demo.Run(ctx, demo.Options{
		Dir: dir, Program: program, ProgramArgs: []string{demoContainerCommand},
		Root: root, FullMapping: userns.FullMapping(), Report: steps, Progress: nil,
	})
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return a.show(steps)
}

// demoInNamespace runs the same command line as root of a user namespace.
func demoInNamespace(ctx context.Context, a *app) error {
	a.progress().Say("nodeseal: not root: going on in a user namespace")
	a.closeProgress()
	code, err := userns.Reexec(ctx, os.Args, a.env)
	switch {
	case errors.Is(err, userns.ErrUnavailable):
		return preconditionError{fmt.Errorf("demo: %w", err)}
	case err != nil:
		return fmt.Errorf("demo: %w", err)
	case code != exitDone:
		return childExit(code)
	}
	return nil
}

// childExit is the exit code of a process that said why itself.
type childExit int

// Error implements error.
func (c childExit) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// demoDir makes the directory of the demo.
func demoDir(keep string) (string, error) {
	if keep == "" {
		dir, err := os.MkdirTemp("", "nodeseal-demo-")
		if err != nil {
			return "", fmt.Errorf("demo: %w", err)
		}
		return dir, nil
	}
	if err := os.Mkdir(keep, 0o755); err != nil {
		return "", preconditionError{fmt.Errorf("demo: %w", err)}
	}
	dir, err := filepath.Abs(keep)
	if err != nil {
		return "", fmt.Errorf("demo: %w", err)
	}
	return dir, nil
}
