package sources

import (
	"io"
	"strings"
	"testing"
)

// TestSignatureName: the names by which a file is one signature, and those of
// files with objects.
func TestSignatureName(t *testing.T) {
	t.Parallel()
	hex := strings.Repeat("0a", 32)
	for name, key := range map[string]string{
		"sha256=" + hex + "/signature-1":                               "sha256-" + hex + "-1",
		"/mnt/stick/openshift/release/sha256=" + hex + "/signature-12": "sha256-" + hex + "-12",
		"lookaside/team/app@sha256=" + hex + "/signature-2":            "sha256-" + hex + "-2",
		"keys/sha256-" + hex + "-3":                                    "sha256-" + hex + "-3",
		"keys/sha256-" + hex:                                           "sha256-" + hex + "-1",
		"sha256-" + hex + "-1.yaml":                                    "",
		"signature-sha256-" + hex[:12] + ".json":                       "",
		"sha256=" + hex[1:] + "/signature-1":                           "",
	} {
		g := &gatherer{res: &Result{}}
		content := "kind: ConfigMap\napiVersion: v1\n"
		err := g.signatureFile(File{Name: name, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }})
		got := ""
		if len(g.res.Signatures) > 0 {
			got = g.res.Signatures[0].Key
		}
		if err != nil || got != key {
			t.Errorf("%s: %q, %v, want %q", name, got, err, key)
		}
	}
}
