package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/result"
	"github.com/nodeseal/nodeseal/internal/trust"
)

func newSignCommand(a *app) *cobra.Command {
	var key trust.File
	var dryRun *bool
	cmd := &cobra.Command{
		Use:   "sign BUNDLE --key KEY",
		Short: "Sign a bundle that exists",
		Long: `Sign a bundle that exists, whole or in parts: write the signature of its inventory
into NAME.tar.zst.sig beside it, in the place of an earlier one. The inventory names
every blob by digest. sign reads the inventory and checks that no part is missing; verify
also reads the blobs.`,
		Example: `  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out bundle.key
  openssl pkey -in bundle.key -pubout -out bundle.pub
  nodeseal sign release.tar.zst --key bundle.key
  nodeseal verify release.tar.zst --key bundle.pub`,
		Args: exactArgs("the bundle"),
		RunE: func(cmd *cobra.Command, args []string) error { return runSign(cmd.Context(), a, args[0], key, *dryRun) },
	}
	cmd.Flags().Var(&key, "key", "private key `FILE` (PEM, ECDSA P-256 or Ed25519) to sign with")
	dryRun = dryRunFlag(cmd)
	return cmd
}

func runSign(ctx context.Context, a *app, path string, keyFile trust.File, dryRun bool) error {
	if keyFile == "" {
		return usageError{errors.New("sign: --key KEY is missing")}
	}
	key, err := readSignKey(ctx, "--key", keyFile)
	if err != nil {
		return err
	}
	if dryRun {
		return a.showWould(trust.PlanSignBundle(ctx, path, key))
	}
	fingerprint, err := signature.Fingerprint(key.Public())
	if err != nil {
		return err
	}
	out, err := trust.SignBundle(ctx, path, key)
	if err != nil {
		return err
	}
	return a.show(result.Sign{Bundle: path, Signature: out, Key: fingerprint})
}
