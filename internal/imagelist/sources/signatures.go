package sources

import (
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/imagelist"
)

// maxSignature bounds the file of one signature, in bytes.
const maxSignature = 1 << 20

// signatureName is how a lookaside server names a signature, and how a directory
// of the keys of ConfigMaps would: with the digest in the folder's name or its own.
var signatureName = regexp.MustCompile(`^(?:.*/)?(?:.*@)?sha256([=-])([0-9a-f]{64})(?:/signature-([0-9]+)|(?:-([0-9]+))?)$`)

// signatureFile reads release signatures: a file named as on the server that they
// are published on, sha256=<hex>/signature-<n>, or as a key of the ConfigMap,
// sha256-<hex>-<n>, holds one; any other has ConfigMaps with the label
// release.openshift.io/verification-signatures, as YAML or JSON.
func (g *gatherer) signatureFile(f File) (err error) {
	m := signatureName.FindStringSubmatch(path.Clean(strings.ReplaceAll(f.Name, "\\", "/")))
	if m == nil {
		return readObjects(f, g.add)
	}
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	data, err := io.ReadAll(io.LimitReader(r, maxSignature+1))
	switch {
	case err != nil:
		return fmt.Errorf("reading %s: %w", f.Name, err)
	case len(data) == 0 || len(data) > maxSignature:
		return fmt.Errorf("%s: a signature of %d bytes", f.Name, len(data))
	}
	n := m[3] + m[4]
	if n == "" {
		n = "1"
	}
	g.res.Signatures = append(g.res.Signatures, imagelist.Signature{
		Digest: digest.NewDigestFromEncoded(digest.SHA256, m[2]), Key: "sha256-" + m[2] + "-" + n, Data: data,
	})
	return nil
}
