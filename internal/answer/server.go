package answer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// What a client may use up.
const (
	maxConnections = 128
	maxHeader      = 16 << 10
	headerTimeout  = 5 * time.Second
	readTimeout    = 10 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = time.Minute
	shutdownTime   = 5 * time.Second
)

// Serve answers with handler on all listeners until ctx ends; requests that are
// under way then get five seconds. It closes the listeners. Headers, times and
// connections are bounded. A listener that fails is an error; the end of ctx is
// none. log gets what net/http has to complain about, at level debug.
func Serve(ctx context.Context, handler http.Handler, log *slog.Logger, listeners ...net.Listener) error {
	limit := newConns(maxConnections)
	server := &http.Server{
		Handler:           limit.handler(handler),
		ConnContext:       limit.context,
		ConnState:         limit.state,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { failed <- server.Serve(l) }()
	}
	var err error
	running := len(listeners)
	select {
	case <-ctx.Done():
	case err = <-failed:
		running--
	}
	// ctx has ended, and the requests that are under way have their own time.
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if server.Shutdown(stop) != nil {
		_ = server.Close() // what is left is cut off
	}
	for range running {
		err = errors.Join(err, ignoreClosed(<-failed))
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
