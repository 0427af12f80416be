package answer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/answer/gate"
)

// What a client may use up.
const (
	maxConnections = 128
	maxOfClient    = 96
	maxWaiting     = 1024
	maxHeader      = 16 << 10
	headerTimeout  = 5 * time.Second
	readTimeout    = 10 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = time.Minute
	shutdownTime   = 5 * time.Second
)

// Serve answers with handler on all listeners until ctx ends; requests that are
// under way then get five seconds. It closes the listeners. Headers, times and
// connections are bounded: those that are too many wait their turn. A listener that
// fails is an error; the end of ctx is none. log gets what net/http has to complain
// about, at level debug.
func Serve(ctx context.Context, handler http.Handler, log *slog.Logger, listeners ...net.Listener) error {
	return serve(ctx, handler, log, gate.New(limits(openFiles()), listeners...))
}

// limits returns what a process with so many open files can serve: each request has a
// few files of a store open.
func limits(files int) gate.Limits {
	const own, each = 24, 3
	served := max(1, min(maxConnections, (files-own)/(each+1)))
	return gate.Limits{
		Served: served, Client: max(1, served*maxOfClient/maxConnections),
		Waiting: max(1, min(maxWaiting, files-own-served*each)),
		Tick:    50 * time.Millisecond, Grace: 40, Stall: 100,
	}
}

// openFiles returns how many files this process may have open.
func openFiles() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return maxWaiting
	}
	return int(min(limit.Cur, math.MaxInt32))
}

func serve(ctx context.Context, handler http.Handler, log *slog.Logger, door *gate.Gate) error {
	server := &http.Server{
		Handler:           door.Handler(handler),
		ConnContext:       door.Context,
		ConnState:         door.State,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(door) }()
	var err error
	running := true
	select {
	case <-ctx.Done():
	case err = <-failed:
		running = false
	}
	// ctx has ended, and the requests that are under way have their own time.
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if server.Shutdown(stop) != nil {
		_ = server.Close() // what is left is cut off
	}
	if running {
		err = <-failed
	}
	if err = ignoreClosed(err); err != nil {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
