package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/internal/madeby"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/trust"
	"github.com/nodeseal/nodeseal/internal/ui"
	"github.com/nodeseal/nodeseal/internal/visible"
)

// app is what all commands share: where they read and write, and how.
type app struct {
	command        string // which it was, for errors
	stdin          io.Reader
	stdout, stderr io.Writer
	env            []string
	sleep          sleeper // between tries; nil is the system's

	json         bool
	quiet        bool
	debug        bool
	progressMode string

	renderer *ui.Renderer
}

func (a *app) addFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&a.json, "json", false, "print the result as JSON on standard output")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "print no progress, notes and warnings, only results and errors")
	flags.BoolVar(&a.debug, "debug", false, "log details to standard error")
	flags.StringVar(&a.progressMode, "progress", "auto", "`HOW` to show progress: "+strings.Join(progressModes(), ", "))
}

// ofEnvironment is the annotation of flags that the environment set.
const ofEnvironment = "environment"

// typed reports whether the command line has the flag.
func typed(flags *pflag.FlagSet, name string) bool {
	f := flags.Lookup(name)
	if f == nil || !f.Changed {
		return false
	}
	_, set := f.Annotations[ofEnvironment]
	return !set
}

// fromEnvironment sets every flag that the command line does not have from the
// environment variable NODESEAL_<FLAG>, where that is not empty. An empty one that a
// check depends on (trust.File) is an error.
func (a *app) fromEnvironment(flags *pflag.FlagSet) error {
	values := make(map[string]string)
	for _, kv := range a.env {
		if k, v, ok := strings.Cut(kv, "="); ok {
			values[k] = v
		}
	}
	var err error
	flags.VisitAll(func(f *pflag.Flag) {
		name := envName(f.Name)
		v, ok := values[name]
		if _, checks := f.Value.(*trust.File); !ok || v == "" && !checks || f.Changed || err != nil {
			return
		}
		if setErr := flags.Set(f.Name, v); setErr != nil {
			err = usageError{fmt.Errorf("environment variable %s: %w", name, setErr)}
			return
		}
		must(flags.SetAnnotation(f.Name, ofEnvironment, nil))
	})
	return err
}

// mark says when and with what a page or a report was made, and from what.
func (a *app) mark(from ...string) madeby.Mark {
	return madeby.New(a.lookup("SOURCE_DATE_EPOCH"), time.Now(), programVersion(), from...)
}

// lookup returns an environment variable, "" where it is not set.
func (a *app) lookup(name string) (value string) {
	for _, kv := range a.env {
		if k, v, ok := strings.Cut(kv, "="); ok && k == name {
			value = v
		}
	}
	return value
}

func envName(flag string) string {
	return "NODESEAL_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// progressModes are the values of --progress.
func progressModes() []string {
	return []string{string(ui.Auto), string(ui.Bars), string(ui.Plain), string(ui.JSON), string(ui.Quiet)}
}

// begin chooses, once, how progress is shown.
func (a *app) begin() error {
	mode := ui.Mode(a.progressMode)
	if a.quiet {
		mode = ui.Silent
	}
	if !a.quiet && !slices.Contains(progressModes(), string(mode)) {
		return usageError{fmt.Errorf("--progress %q: want one of %s", mode, strings.Join(progressModes(), ", "))}
	}
	a.renderer = ui.New(mode, a.stderr, ui.Options{})
	a.tameLibraries()
	return nil
}

// progress is where commands report what they do.
func (a *app) progress() progress.Func { return a.renderer.Func() }

// closeProgress draws what is left. It may be called before begin.
func (a *app) closeProgress() {
	if a.renderer != nil {
		a.renderer.Close() //nolint:errcheck // nobody is left to tell
	}
}

// log is where libraries log details.
func (a *app) log() *slog.Logger {
	if !a.debug {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(visible.NewWriter(a.stderr), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// tameLibraries sends what the storage and image libraries log, which is to
// standard error whatever the command said, where the program's own details go.
func (a *app) tameLibraries() {
	logrus.SetOutput(io.Discard)
	if a.debug {
		logrus.SetOutput(visible.NewWriter(a.stderr))
		logrus.SetLevel(logrus.DebugLevel)
	}
}

// shown is what a command has to show: as JSON, or as text for people.
type shown interface {
	WriteText(w io.Writer) error
}

// show prints the result of a command.
func (a *app) show(r shown) error {
	a.closeProgress()
	if !a.json {
		if err := r.WriteText(ui.Paint(a.stdout)); err != nil {
			return fmt.Errorf("writing the result: %w", err)
		}
		return nil
	}
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", " ")
	enc.SetEscapeHTML(false)
	encode := func() error { return enc.Encode(r) }
	if long, ok := r.(interface{ WriteJSON(w io.Writer) error }); ok {
		encode = func() error { return long.WriteJSON(a.stdout) }
	}
	if err := encode(); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}

// openInput opens a file, or standard input for "-". The caller closes it.
func (a *app) openInput(path string) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(a.stdin), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening list: %w", err)
	}
	return f, nil
}

// exactArgs takes just the named arguments.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			lack, verb := names[len(args):], "is"
			if len(lack) > 1 {
				verb = "are"
			}
			return usageError{fmt.Errorf("%s: %s %s missing", cmd.CommandPath(), strings.Join(lack, " and "), verb)}
		}
		if len(args) > len(names) {
			return usageError{fmt.Errorf("%s: %q is too much", cmd.CommandPath(), args[len(names)])}
		}
		return nil
	}
}

// oneOf completes a flag with fixed values.
func oneOf(values ...string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return slices.Clone(values), cobra.ShellCompDirectiveNoFileComp
	}
}

// must panics on errors that only a mistake in this package can make.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
