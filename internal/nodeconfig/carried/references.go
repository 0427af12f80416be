// Package carried reads from bundles and stores what configuration is made of: their
// references and the signatures of releases.
package carried

import (
	"context"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/bundle/archive"
)

// DigestReferences returns the references by digest of the bundle at path, sorted.
func DigestReferences(ctx context.Context, path string) ([]string, error) {
	f, err := archive.OpenFile(ctx, path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	var refs []string
	for _, img := range f.Inventory().Images {
		for _, name := range append([]string{img.Ref}, img.Names...) {
			if strings.Contains(name, "@") {
				refs = append(refs, name)
			}
		}
	}
	slices.Sort(refs)
	return slices.Compact(refs), nil
}
