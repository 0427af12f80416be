package main

import (
	"crypto"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
	"github.com/nodeseal/nodeseal/internal/trust"
)

// keyOptions say whose signature a bundle must have.
type keyOptions struct{ trust.Bundle }

func (o *keyOptions) addFlags(flags *pflag.FlagSet) {
	flags.Var(&o.Key, "key", "public key `FILE` (PEM) that must have signed the bundle into NAME.tar.zst"+signature.Suffix+
		" (default "+machine.KeyFile+", if the node has it)")
	flags.BoolVar(&o.Insecure, "insecure-no-key", false, "take the bundle without a look at its signature, also on a node that has a key")
}

// read returns the keys, nil if no signature is asked for. sysroot is the root of the
// node, "" for this machine's.
func (o *keyOptions) read(sysroot string) (signature.Keys, error) {
	keys, from, err := o.Keys(sysroot)
	switch {
	case errors.Is(err, trust.ErrBoth):
		return nil, usageError{fmt.Errorf("--key and --insecure-no-key: %w", err)}
	case err != nil && o.Key != "":
		return nil, usageError{fmt.Errorf("--key: %w", err)}
	case err != nil:
		return nil, preconditionError{fmt.Errorf("the key of this node, %s: %w", from, err)}
	}
	return keys, nil
}

// readSignKey reads the private key of a flag; nil where none is named.
func readSignKey(flag string, path trust.File) (crypto.Signer, error) {
	if path == "" {
		return nil, nil
	}
	key, err := trust.PrivateKey(string(path))
	if err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", flag, err)}
	}
	return key, nil
}
