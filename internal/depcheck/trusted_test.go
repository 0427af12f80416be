package depcheck

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// opens is what opens a bundle without trust.Bundle.Open.
var opens = regexp.MustCompile(`archive\.(OpenFile|OpenBytes|NewReader|Verify)\(`)

// TestBundlesAreTrusted lists the files that open bundles themselves, and why they may: a
// node that has a key believes no other bundle. All else calls trust.Bundle.Open.
func TestBundlesAreTrusted(t *testing.T) {
	t.Parallel()
	may := map[string]string{
		"cmd/nodeseal/verify.go":        "the check comes with archive.VerifyOptions.Trust",
		"cmd/nodeseal/verifybase.go":    "archive.WithTrust holds it to what was verified",
		"cmd/nodeseal/verifyinstall.go": "archive.WithTrust, and it must be what was verified",
		"internal/audit/refused.go":     "archive.VerifyOptions.Trust holds it to what was opened",
		"internal/base/place.go":        "a base: each of its layers is proven by its diff ID",
		"internal/carry/fill.go":        "archive.WithTrust with the keys of the nodes that the stick is for",
		"internal/carry/find.go":        "which bundle of a stick builds on which: the one that is chosen is opened again, with the keys",
		"internal/demo/demo.go":         "the bundle that it made",
		"internal/install/open.go":      "archive.WithTrust with the keys of the node at a --sysroot",
		"internal/parts/parts.go":       "the bytes, which are copied: the inventory was looked at before",
		"internal/trust/beside.go":      "the bundle that is replaced: is its signature still right?",
		"internal/trust/signed.go":      "it is trust.Bundle.Open",
		"internal/trust/trust.go":       "the bundle that is signed",
	}
	found := make(map[string]bool)
	for _, dir := range []string{"cmd", "internal"} {
		err := filepath.WalkDir(filepath.Join("../..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil || !opens.Match(data) {
				return err
			}
			name := strings.TrimPrefix(filepath.ToSlash(path), "../../")
			if found[name] = true; may[name] == "" {
				t.Errorf("%s opens a bundle without a look at its signature: call trust.Bundle.Open", name)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name := range may {
		if !found[name] {
			t.Errorf("%s opens no bundle: take it off the list", name)
		}
	}
}
