package result

import (
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
)

// TestBlock: lines are broken to 80 columns, and nothing of them is lost.
func TestBlock(t *testing.T) {
	t.Parallel()
	digest := "@sha256:" + strings.Repeat("0", 64)
	for _, text := range []string{
		"short", "  release 4.20.1 quay.io/openshift-release-dev/ocp-release" + digest, "    also registry.example:5000/" + strings.Repeat("part/", 30) + "x" + digest,
		strings.Repeat("word ", 40), "  /var/lib/shared/nodeseal/a.erofs, mounted from the file, sha256:" + strings.Repeat("0", 64), "  \u00e4\u00f6\u00fc" + strings.Repeat("\u00fc", 70) + " b",
	} {
		var out strings.Builder
		p := &printer{w: &out}
		p.block("%s", text)
		for line := range strings.Lines(out.String()) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > width {
				t.Errorf("%d columns: %s", n, line)
			}
		}
		flat := func(s string) string { return strings.Join(strings.Fields(s), "") }
		if flat(out.String()) != flat(text) {
			t.Errorf("%q became %q", text, out.String())
		}
	}
}

// TestInspectFits: each image of a release is named by its component, in 80 columns.
func TestInspectFits(t *testing.T) {
	t.Parallel()
	ref := "quay.io/openshift-release-dev/ocp-v4.0-art-dev@sha256:" + strings.Repeat("1", 64)
	inv := &bundle.Inventory{Layers: bundle.Expanded, Release: &bundle.Release{Version: "4.20.1", Image: strings.Replace(ref, "v4.0-art-dev", "release", 1)}, Images: []bundle.Image{
		{Ref: ref, From: []bundle.Origin{{Source: "release", Name: "4.20.1 etcd"}}, Names: []string{strings.Replace(ref, "quay.io", "mirror.example:5000/with/a/very/long/path", 1)}},
		{Ref: "quay.io/acme/app@sha256:" + strings.Repeat("2", 64), Original: true},
	}}
	var out strings.Builder
	if err := NewInspect("/media/stick/rel.tar.zst", 1<<40, inv, nil, nil).WriteText(&out); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if len(line) > width+1 {
			t.Errorf("%d columns: %s", len(line)-1, line)
		}
	}
	for _, want := range []string{"  etcd\n", "  app\n", "release 4.20.1 quay.io/openshift-release-dev/ocp-release\n", "  quay.io/openshift-release-dev/ocp-v4.0-art-dev\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
