package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/internal/pull"
)

// registryOptions say how registries are reached, in skopeo's and podman's words.
type registryOptions struct {
	authFile       string
	certDir        string
	tlsVerify      optionalBool
	registriesConf string
}

func (o *registryOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.authFile, "authfile", "", "credentials, as podman login writes them")
	flags.StringVar(&o.certDir, "cert-dir", "", "directory with *.crt, *.cert and *.key for the registries")
	flags.Var(&o.tlsVerify, "tls-verify", "require HTTPS and valid certificates")
	flags.Lookup("tls-verify").NoOptDefVal = "true"
	flags.StringVar(&o.registriesConf, "registries-conf", "", "registries.conf that says where the bytes come from (default the system's)")
}

// client returns a client of the registries.
func (o *registryOptions) client(a *app) (*pull.Client, error) {
	client, err := pull.New(pull.Options{
		RegistriesConf: o.registriesConf, AuthFile: o.authFile, CertDir: o.certDir,
		TLSVerify: o.tlsVerify.value, Log: a.log(),
	})
	if err != nil {
		return nil, fmt.Errorf("registries: %w", err)
	}
	return client, nil
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
