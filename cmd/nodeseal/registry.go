package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/internal/pull"
	"github.com/nodeseal/nodeseal/internal/pull/mirrors"
)

// registryOptions say how registries are reached, in skopeo's and podman's words.
type registryOptions struct {
	authFile       string
	certDir        string
	tlsVerify      optionalBool
	registriesConf string
	retries        int
	stallTimeout   time.Duration
	perHost        int
	// registriesDir is the flag of commands that read signatures.
	registriesDir string
	// write says that the command writes to registries.
	write bool
}

func (o *registryOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.authFile, "authfile", "", "`FILE` with credentials, as podman login writes them (default $REGISTRY_AUTH_FILE, else podman's and docker's own places)")
	flags.StringVar(&o.certDir, "cert-dir", "", "`DIR` with *.crt, *.cert and *.key for the registries")
	flags.Var(&o.tlsVerify, "tls-verify", "require HTTPS and valid certificates")
	flags.Lookup("tls-verify").NoOptDefVal = "true"
	flags.StringVar(&o.registriesConf, "registries-conf", "", "registries.conf `FILE` that says where the bytes come from (default the system's)")
	flags.IntVar(&o.retries, "retries", 5, "`TIMES` that a request that failed for a while is tried again")
	flags.DurationVar(&o.stallTimeout, "stall-timeout", time.Minute, "give up a connection that brings nothing, or less than 1 KiB a second, for this `TIME`")
	flags.IntVar(&o.perHost, "per-host", 8, "`NUMBER` of connections to one registry at once")
}

// client returns a client of the registries, which asks the mirrors of rules first.
func (o *registryOptions) client(a *app, rules ...mirrors.Rule) (*pull.Client, error) {
	switch {
	case o.retries < 0:
		return nil, usageError{fmt.Errorf("--retries %d: want 0 or more", o.retries)}
	case o.stallTimeout <= 0:
		return nil, usageError{fmt.Errorf("--stall-timeout %s: want a time above zero", o.stallTimeout)}
	case o.perHost < 1:
		return nil, usageError{fmt.Errorf("--per-host %d: want 1 or more", o.perHost)}
	}
	retries := o.retries
	if retries == 0 {
		retries = -1 // never, to pull
	}
	authFile := o.authFile
	if authFile == "" {
		authFile = a.lookup("REGISTRY_AUTH_FILE") // as in podman and skopeo
	}
	client, err := pull.New(pull.Options{
		Retries: retries, StallTimeout: o.stallTimeout, MaxPerHost: o.perHost,
		RegistriesConf: o.registriesConf, RegistriesDir: o.registriesDir, Mirrors: rules, AuthFile: authFile, CertDir: o.certDir,
		TLSVerify: o.tlsVerify.value, Log: a.log(), OnWait: sayWaits(a), Sleep: a.sleep, Now: time.Now, Write: o.write,
	})
	if err != nil {
		return nil, fmt.Errorf("registries: %w", err)
	}
	return client, nil
}

// sleeper waits between two tries, as pull.Options.Sleep.
type sleeper = func(ctx context.Context, d time.Duration) error

// sayWaits says why nothing moves, once for each registry and cause: a run of
// hours meets the same trouble a thousand times.
func sayWaits(a *app) func(pull.Wait) {
	var said sync.Map
	return func(w pull.Wait) {
		cause := w.Reason
		for next := errors.Unwrap(cause); next != nil; next = errors.Unwrap(cause) {
			cause = next
		}
		if _, before := said.LoadOrStore(w.Host+": "+cause.Error(), true); !before {
			a.progress().Warn(fmt.Sprintf("%s: %v; trying again in %s", w.Host, w.Reason, w.For.Round(time.Second)))
		}
	}
}

// optionalBool is a flag that knows whether it was given.
type optionalBool struct{ value *bool }

// String implements pflag.Value.
func (b *optionalBool) String() string {
	if b.value == nil {
		return ""
	}
	return strconv.FormatBool(*b.value)
}

// Set implements pflag.Value.
func (b *optionalBool) Set(s string) error {
	v, err := strconv.ParseBool(s)
	if err != nil {
		return fmt.Errorf("want true or false: %w", err)
	}
	b.value = &v
	return nil
}

// Type implements pflag.Value.
func (b *optionalBool) Type() string { return "bool" }
