package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/internal/nodeconfig/carried"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/manifest"
	"github.com/nodeseal/nodeseal/internal/trust"
)

func newConfigSignaturesCommand(a *app) *cobra.Command {
	var path, dir string
	var by trust.Bundle
	cmd := &cobra.Command{
		Use:   "signatures {--bundle FILE|--store DIR}",
		Short: "Print the ConfigMaps by which a cluster verifies a release with no network",
		Long: `Print a ConfigMap with the signatures of each release image that a bundle or store
carries, as the cluster version operator takes them: without one it does not
upgrade to a release that it cannot ask a server about. Apply them before the
upgrade. The bundle has them where nodeseal bundle found them: in the cluster, with
--cluster, or in the files of --signatures.`,
		Example: `  nodeseal config signatures --bundle 4.18.12.tar.zst | oc apply -f -`,
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var sigs []manifest.ReleaseSignature
			var err error
			switch {
			case (path == "") == (dir == ""):
				return usageError{errors.New("config signatures: name --bundle FILE or --store DIR")}
			case path != "":
				sigs, err = carried.BundleSignatures(cmd.Context(), path, by)
			default:
				sigs, err = carried.StoreSignatures(dir)
			}
			if err != nil {
				return err
			}
			content, err := manifest.Signatures(sigs)
			return a.showObject("signatures", content, err)
		},
	}
	cmd.Flags().StringVar(&path, "bundle", "", "bundle `FILE` whose signatures are printed")
	insecureFlag(cmd.Flags(), &by)
	cmd.Flags().StringVar(&dir, "store", "", "`DIR` of the store whose signatures are printed")
	must(cmd.MarkFlagDirname("store"))
	return cmd
}
