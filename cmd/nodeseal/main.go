// Command nodeseal puts every image that an OpenShift cluster needs on every
// node, sealed: it mirrors images into one bundle, imports the bundle into a
// read-only additional image store of CRI-O, and keeps the store in order.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/nodeseal/nodeseal/internal/fips"
	"github.com/nodeseal/nodeseal/internal/runimage"
	"github.com/nodeseal/nodeseal/internal/userns"
	"github.com/nodeseal/nodeseal/internal/visible"
)

// commandMemory is where the garbage collector begins to work for memory instead of time, in a
// command that sets no limit of its own. What verify and bundle hold on to is some 120 MiB, with many
// processors 190 MiB, whatever the images' sizes; the program itself is some 35 MiB besides.
const commandMemory = 190 << 20

func main() { os.Exit(start(nil)) }

// start runs the program that this process is: the command line, or one of the
// stages that it starts itself again for. A nil sleep is the system's.
func start(sleep sleeper) int {
	// A umask that takes permissions from the owner would change the modes of a store's files.
	// Its bits for the group and for others stay.
	syscall.Umask(syscall.Umask(0o077) &^ 0o700)
	for _, hook := range []func() error{fips.Hook, userns.Hook, runimage.Hook} {
		if err := hook(); err != nil {
			fmt.Fprintln(os.Stderr, "nodeseal:", visible.Lines(err.Error()))
			return exitFailed
		}
	}
	limitMemory(commandMemory)
	return run(os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr, sleep)
}

// run executes one command line and returns its exit code. A first interrupt
// ends the command in good order, a second one at once.
func run(args, env []string, stdin io.Reader, stdout, stderr io.Writer, sleep sleeper) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		select {
		case s := <-signals:
			signal.Stop(signals)
			cancel(interrupted{s})
		case <-ctx.Done():
		}
	}()
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, env: env, sleep: sleep}
	root := newRootCommand(a)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	a.command = cmd.CommandPath()
	a.closeProgress()
	return a.report(err)
}

// interrupted is the reason why a command ends early.
type interrupted struct{ signal os.Signal }

// Error implements error.
func (i interrupted) Error() string { return "interrupted (" + i.signal.String() + ")" }
