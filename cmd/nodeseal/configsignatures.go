package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/manifest"
	"github.com/nodeseal/nodeseal/internal/store"
)

func newConfigSignaturesCommand(a *app) *cobra.Command {
	var path, dir string
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
				sigs, err = bundleSignatures(cmd.Context(), path)
			default:
				sigs, err = storeSignatures(dir)
			}
			if err != nil {
				return err
			}
			content, err := manifest.Signatures(sigs)
			return a.showObject("signatures", content, err)
		},
	}
	cmd.Flags().StringVar(&path, "bundle", "", "bundle `FILE` whose signatures are printed")
	cmd.Flags().StringVar(&dir, "store", "", "`DIR` of the store whose signatures are printed")
	must(cmd.MarkFlagDirname("store"))
	return cmd
}

// bundleSignatures returns the release signatures that a bundle carries.
func bundleSignatures(ctx context.Context, path string) ([]manifest.ReleaseSignature, error) {
	f, err := archive.OpenFile(ctx, path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	return releaseSignatures(f.Inventory(), func(d digest.Digest) ([]byte, error) { return f.ReadBlob(ctx, d) })
}

// storeSignatures returns the release signatures that are in a store. Of images
// that it has not, it has none.
func storeSignatures(dir string) ([]manifest.ReleaseSignature, error) {
	fsys := os.DirFS(dir)
	st, err := store.Open(fsys)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if st.Empty() {
		return nil, nil
	}
	stored, err := store.OpenStored(fsys)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return releaseSignatures(stored.Inventory(), func(d digest.Digest) ([]byte, error) {
		data, err := st.Attachment(d)
		if errors.Is(err, store.ErrUnknown) {
			return nil, nil
		}
		return data, err
	})
}

func releaseSignatures(inv *bundle.Inventory, read func(digest.Digest) ([]byte, error)) ([]manifest.ReleaseSignature, error) {
	var sigs []manifest.ReleaseSignature
	for i := range inv.Images {
		for _, a := range inv.Images[i].Attachments {
			if a.Kind != bundle.AttachmentRelease {
				continue
			}
			data, err := read(a.Digest)
			if err != nil {
				return nil, fmt.Errorf("signature %s: %w", a.Key, err)
			}
			if data != nil {
				sigs = append(sigs, manifest.ReleaseSignature{Digest: a.Subject(), Data: data})
			}
		}
	}
	return sigs, nil
}
