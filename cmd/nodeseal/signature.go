package main

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/pflag"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/atomicfile"
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

// signBundle writes the signature of the bundle at path, whose inventory it is
// given, and returns where.
func signBundle(path string, inv *bundle.Inventory, key crypto.Signer) (string, error) {
	raw, err := inv.Marshal()
	if err != nil {
		return "", err
	}
	sig, err := signature.Sign(raw, key)
	if err != nil {
		return "", err
	}
	if err := atomicfile.WriteBytes(path+signature.Suffix, 0o644, sig); err != nil {
		return "", fmt.Errorf("signature: %w", err)
	}
	return path + signature.Suffix, nil
}

// inventoryAt returns the inventory.json of the bundle at path, nil where there is
// none that can be read.
func inventoryAt(ctx context.Context, path string) []byte {
	f, err := archive.OpenFile(ctx, path)
	if err != nil {
		return nil
	}
	raw := f.RawInventory()
	_ = f.Close() // it was read
	return raw
}

// dropSignature removes the signature beside a bundle that was written without a key in
// place of one whose inventory.json was before: it is not this one's. Where the
// inventory is the same, the signature is still right, and stays.
func (a *app) dropSignature(path string, before []byte, inv *bundle.Inventory) error {
	raw, err := inv.Marshal()
	if err != nil {
		return err
	}
	if bytes.Equal(raw, before) {
		return nil
	}
	stale := path + signature.Suffix
	err = os.Remove(stale)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	a.progress().Warn(stale + " was of an earlier bundle and is removed: this one is not signed")
	return nil
}
