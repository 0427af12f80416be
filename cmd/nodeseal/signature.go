package main

import (
	"context"
	"crypto"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
	"github.com/nodeseal/nodeseal/internal/trust"
)

// keyOptions say whose signature a bundle must have.
type keyOptions struct {
	trust.Bundle
	flags *pflag.FlagSet
}

func (o *keyOptions) addFlags(flags *pflag.FlagSet) {
	flags.Var(&o.Key, "key", "public key `FILE` (PEM) that must have signed the bundle into NAME.tar.zst"+signature.Suffix+
		" (default "+machine.KeyFile+", if the node has it)")
	insecureFlag(flags, &o.Bundle)
	o.flags = flags
}

// asks reports whether a signature is asked for at path: for all but a store in a directory that no image is mounted on.
func asks(path string) bool {
	_, file := form.FileAt(path)
	return file
}

// unused refuses the flags where no bundle is opened, but for the environment's, which are for any command.
func (o *keyOptions) unused(command, opened string) error {
	for _, name := range []string{"key", insecure} {
		if typed(o.flags, name) {
			return usageError{fmt.Errorf("%s: --%s is for a bundle, not for %s", command, name, opened)}
		}
	}
	return nil
}

const insecure = "insecure-no-key"

// unusedInsecure refuses insecureFlag where a command opens no bundle without --bundle.
func unusedInsecure(cmd *cobra.Command) error {
	if f := cmd.Flags().Lookup("bundle"); f == nil || f.Changed || !typed(cmd.Flags(), insecure) {
		return nil
	}
	return usageError{fmt.Errorf("%s: --%s is for a bundle: --bundle names none", cmd.CommandPath(), insecure)}
}

// insecureFlag is the one flag of keyOptions that commands have whose --key is another one.
func insecureFlag(flags *pflag.FlagSet, o *trust.Bundle) {
	o.Once = new(trust.Once)
	flags.BoolVar(&o.Insecure, insecure, false, "take the bundle without a look at its signature, also on a node that has a key")
}

// read returns the keys, nil if no signature is asked for. sysroot is the root of the
// node, "" for this machine's.
func (o *keyOptions) read(ctx context.Context, sysroot string) (signature.Keys, error) {
	keys, _, err := o.Keys(ctx, sysroot)
	return keys, keyError(err)
}

// keyError says which exit code an error about keys has, wherever a bundle is opened.
func keyError(err error) error {
	var bad *trust.KeysError
	switch {
	case errors.Is(err, trust.ErrBoth):
		return usageError{fmt.Errorf("--key and --insecure-no-key: %w", trust.ErrBoth)}
	case errors.As(err, &bad) && bad.Named:
		return usageError{fmt.Errorf("--key: %w", bad)}
	case errors.As(err, &bad):
		return preconditionError{bad}
	}
	return err
}

// readSignKey reads the private key of a flag; nil where none is named.
func readSignKey(ctx context.Context, flag string, path trust.File) (crypto.Signer, error) {
	if path == "" {
		return nil, nil
	}
	key, err := trust.PrivateKey(ctx, string(path))
	if err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", flag, err)}
	}
	return key, nil
}
