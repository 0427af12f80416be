package pull

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"go.podman.io/image/v5/types"

	"github.com/nodeseal/nodeseal/internal/pull/mirrors"
)

// Options say how a Client reaches registries. The zero value is what CRI-O
// does on a node that has no configuration of its own.
type Options struct {
	// RegistriesConf replaces the system's registries.conf. Drop-in files are
	// then read from RegistriesConf + ".d" only, where that folder exists.
	RegistriesConf string
	// RegistriesConfDir replaces the folder of drop-in files.
	RegistriesConfDir string
	// Mirrors come before those of registries.conf, as the machine-config
	// operator writes them into a node's registries.conf.
	Mirrors []mirrors.Rule
	// RegistriesDir replaces the folders registries.d of the system: where
	// simple signatures are (containers-registries.d(5)).
	RegistriesDir string
	// AuthFile replaces the default auth.json and ~/.docker/config.json.
	AuthFile string
	// CertDir replaces the folders certs.d of the system. Its subfolder
	// HOST[:PORT] is used where there is one, else the folder itself:
	// *.crt are further authorities, *.cert with *.key client certificates.
	CertDir string
	// TLSVerify, where set, overrules registries.conf: false allows plain HTTP
	// and certificates that nobody vouches for, of every registry; true allows
	// neither, also on this machine's own addresses.
	TLSVerify *bool
	// Write asks token servers for the right to write, too: for Client.Repository.
	Write bool
	// MaxPerHost bounds the requests and open blobs at one registry; 0 is 8.
	MaxPerHost int
	// Retries is how often a temporary failure is tried again; 0 is 5, less is never.
	Retries int
	// StallTimeout ends a request that gets no byte for so long, or with Now less than
	// 1 KiB a second over so long; 0 is a minute.
	StallTimeout time.Duration
	// Now is the clock by which slow answers are known; nil takes any rate.
	Now func() time.Time
	// Log gets a line for each failure that is tried again; nil is silent.
	Log *slog.Logger
	// OnWait, where set, is told of each wait before a request is tried again. It
	// may be called from many goroutines at once and must not block.
	OnWait func(Wait)
	// Sleep waits between tries, until ctx is done at the latest, and returns
	// ctx's error then; nil waits on the system's timers.
	Sleep func(ctx context.Context, d time.Duration) error
	// AfterFunc is the clock of StallTimeout; nil is time.AfterFunc.
	AfterFunc func(d time.Duration, f func()) Timer
}

// Timer is what of a time.Timer that calls a function is used: both methods may be called
// at any time.
type Timer interface {
	Reset(d time.Duration) bool
	Stop() bool
}

// Wait is a pause before a request is tried again.
type Wait struct {
	// Host is the registry's host[:port].
	Host string
	// For is how long the pause is.
	For time.Duration
	// Reason is why the last try failed.
	Reason error
}

const (
	defaultMaxPerHost   = 8
	defaultRetries      = 5
	defaultStallTimeout = time.Minute
)

// withDefaults returns o with every zero value replaced by what it stands for.
func (o Options) withDefaults() Options {
	if o.MaxPerHost <= 0 {
		o.MaxPerHost = defaultMaxPerHost
	}
	switch {
	case o.Retries == 0:
		o.Retries = defaultRetries
	case o.Retries < 0:
		o.Retries = 0
	}
	if o.StallTimeout <= 0 {
		o.StallTimeout = defaultStallTimeout
	}
	if o.RegistriesConf != "" && o.RegistriesConfDir == "" {
		o.RegistriesConfDir = o.RegistriesConf + ".d"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.OnWait == nil {
		o.OnWait = func(Wait) {}
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.AfterFunc == nil {
		o.AfterFunc = func(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }
	}
	return o
}

// checkFiles reports a file or folder that was named but is not there: the
// libraries take a missing one for an empty one.
func (o Options) checkFiles() error {
	for _, f := range []struct{ what, path string }{
		{"registries.conf", o.RegistriesConf},
		{"registries.d", o.RegistriesDir},
		{"authfile", o.AuthFile},
		{"cert-dir", o.CertDir},
	} {
		if f.path == "" {
			continue
		}
		if _, err := os.Stat(f.path); err != nil {
			return fmt.Errorf("%s: %w", f.what, err)
		}
	}
	return nil
}

// systemContext is o in the words of containers/image.
func (o Options) systemContext() *types.SystemContext {
	return &types.SystemContext{
		SystemRegistriesConfPath:    o.RegistriesConf,
		SystemRegistriesConfDirPath: o.RegistriesConfDir,
		RegistriesDirPath:           o.RegistriesDir,
		AuthFilePath:                o.AuthFile,
	}
}

// sleep waits for d or until ctx is done.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
