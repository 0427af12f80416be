package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/internal/answer"
	"github.com/nodeseal/nodeseal/internal/answer/pages"
	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/slot"
)

// The garbage collector works early and hard: memory is dearer on a node than
// the time of a processor that has little to do.
const (
	serveMemory    = 16 << 20
	serveGCPercent = 25
)

type serveOptions struct {
	root      string
	stores    []string
	listen    string
	listenAny bool
	layers    bool
}

func (o *serveOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.root, "root", "", "`DIR` with the slots a and b (default "+slot.DefaultRoot+" without --store)")
	flags.StringArrayVar(&o.stores, "store", nil, "`DIR` of a store; may be repeated, the first one's tags win")
	flags.StringVar(&o.listen, "listen", nodeconfig.DefaultRegistry, "`ADDRESS` to listen on; systemd's sockets come before it")
	flags.BoolVar(&o.listenAny, "listen-any", false, "allow --listen to be other than loopback: whoever reaches it can read every image")
	flags.BoolVar(&o.layers, "layers", false, "answer layers, too, as plain tars")
}

func newServeCommand(a *app) *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve [--root DIR | --store DIR...]",
		Short: "Answer pulls on this node from its stores, so that imagePullPolicy: Always works with no network",
		Long: `Answer the read side of the OCI distribution specification from the stores of this
node: manifests, lists, configurations and signatures. CRI-O asks for them with
imagePullPolicy: Always, and then finds every layer in the store. Layers are
answered with --layers only, where a digest is that of the plain tar.

A slot that is filled, exchanged or emptied is seen by the next request. Nothing
is written. nodeseal config registries prints the configuration that sends CRI-O
and podman here. /metrics and /healthz say how it is.`,
		Example: `  nodeseal serve --root /var/lib/shared/nodeseal
  nodeseal serve --store /var/lib/shared/nodeseal/a --listen 127.0.0.1:5055 --debug`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return runServe(cmd.Context(), a, &o) },
	}
	o.addFlags(cmd.Flags())
	must(cmd.MarkFlagDirname("root"))
	must(cmd.MarkFlagDirname("store"))
	return cmd
}

// dirs returns the directories of the stores, absolute.
func (o *serveOptions) dirs() ([]string, error) {
	dirs := slices.Clone(o.stores)
	if len(dirs) > 0 && o.root != "" {
		return nil, usageError{errors.New("--root and --store cannot both be given")}
	}
	if len(dirs) == 0 {
		root := o.root
		if root == "" {
			root = slot.DefaultRoot
		}
		for _, name := range slot.Names() {
			dirs = append(dirs, filepath.Join(root, string(name)))
		}
	}
	for i, dir := range dirs {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, fmt.Errorf("store %s: %w", dir, err)
		}
		dirs[i] = abs
	}
	return dirs, nil
}

func runServe(ctx context.Context, a *app, o *serveOptions) error {
	dirs, err := o.dirs()
	if err != nil {
		return err
	}
	listeners, err := o.listeners(ctx)
	if err != nil {
		return err
	}
	debug.SetMemoryLimit(serveMemory)
	debug.SetGCPercent(serveGCPercent)
	log := a.log()
	handler := answer.New(answer.Options{Stores: dirs, Layers: o.layers, Now: time.Now, Log: log})
	debug.FreeOSMemory() // what reading the stores took
	if err := pages.Drop(); err != nil {
		log.Warn("more memory stays in use than needed", "error", err)
	}
	for _, l := range listeners {
		a.progress().Say(fmt.Sprintf("answering on %s from %q", l.Addr(), dirs))
	}
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		log.Warn("systemd cannot be told that this is ready", "error", err)
	}
	told := make(chan struct{})
	untold := context.AfterFunc(ctx, func() {
		defer close(told)
		_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping) // it sees that this ends
	})
	err = answer.Serve(ctx, handler, log, listeners...)
	if !untold() {
		<-told
	}
	if err != nil {
		return err
	}
	return nil // systemd's SIGTERM, or Ctrl-C: the way in which this ends
}

// listeners returns systemd's sockets, or else the one of --listen.
func (o *serveOptions) listeners(ctx context.Context) ([]net.Listener, error) {
	handed, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("sockets of systemd: %w", err)
	}
	var listeners []net.Listener
	for _, l := range handed {
		if l == nil {
			return nil, preconditionError{errors.New("sockets of systemd: one is not a listening stream")}
		}
		listeners = append(listeners, l)
	}
	if len(listeners) > 0 {
		return listeners, nil
	}
	addr, err := net.ResolveTCPAddr("tcp", o.listen)
	if err != nil {
		return nil, usageError{fmt.Errorf("--listen %q: %w", o.listen, err)}
	}
	if !addr.IP.IsLoopback() && !o.listenAny {
		return nil, usageError{fmt.Errorf("--listen %q: not a loopback address, and --listen-any is not given", o.listen)}
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", addr.String())
	if err != nil {
		return nil, preconditionError{err}
	}
	return []net.Listener{l}, nil
}
