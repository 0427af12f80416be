//go:build e2e

package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/e2e/apiserver"
	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// TestConfigOnServer: what config all writes is taken by an API server with
// OpenShift's definitions, and the server holds their rules.
func TestConfigOnServer(t *testing.T) {
	t.Parallel()
	harness.Binary(t)
	dir := t.TempDir()
	for _, args := range [][]string{
		{"--pool", "master", "--pool", "worker", "--ocp-version", "4.18", "--nameserver", "192.0.2.53"},
		{"--pool", "arbiter", "--ocp-version", "4.23", "--container-runtime-config"},
	} {
		out := harness.Nodeseal(t, append([]string{"config", "all", "-o", dir}, args...)...)
		if out.Code != 0 {
			t.Fatalf("exit code %d\n%s", out.Code, out.Stderr)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 5 {
		t.Errorf("%d files, want 5: %q", len(files), files)
	}
	server := apiserver.Start(t)
	server.LoadOpenShift()
	for _, file := range files {
		server.Fill(string(harness.ReadFile(t, file)))
	}
	pinned := func(ref string) string {
		return "apiVersion: machineconfiguration.openshift.io/v1\nkind: PinnedImageSet\nmetadata: {name: test}\nspec: {pinnedImages: [{name: \"" + ref + "\"}]}\n"
	}
	create := func(text string) error {
		return kubeobject.Read(strings.NewReader(text), func(o kubeobject.Object) error { return server.Create(t.Context(), o) })
	}
	if err := create(pinned("quay.io/x/y:1")); err == nil || !strings.Contains(err.Error(), "422") {
		t.Errorf("the server takes a pinned tag: %v", err)
	}
	if err := create(pinned("quay.io/x/y@sha256:" + strings.Repeat("0", 64))); err != nil {
		t.Error(err)
	}
}
