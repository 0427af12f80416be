package release

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
)

// sumsName is the file of checksums, as sha256sum --check reads it.
const sumsName = "SHA256SUMS"

// writeSums writes the checksums of files, in the order of their names.
func (o Options) writeSums(names []string) error {
	var text bytes.Buffer
	for _, name := range slices.Sorted(slices.Values(names)) {
		sum, err := fileSum(filepath.Join(o.Out, name))
		if err != nil {
			return fmt.Errorf("checksum of %s: %w", name, err)
		}
		fmt.Fprintf(&text, "%s  %s\n", sum, name)
	}
	return o.writeFile(sumsName, text.Bytes())
}
