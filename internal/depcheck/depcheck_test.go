// Package depcheck holds the direction of imports of docs and linter, also for
// what is imported indirectly: who takes the public packages into a program on
// a node must not get a Kubernetes client with them.
package depcheck

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const (
	module = "github.com/nodeseal/nodeseal"
	tags   = "containers_image_openpgp exclude_graphdriver_btrfs"
)

// goList returns the lines that go list prints for the arguments.
func goList(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-tags", tags}, args...)...)
	cmd.Dir = "../.."
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// within reports whether pkg is path or lies below it.
func within(pkg, path string) bool {
	return pkg == path || strings.HasPrefix(pkg, path+"/")
}

// TestPublicPackages lists everything outside of the standard library that the
// public packages may depend on, and what of the standard library they may not.
func TestPublicPackages(t *testing.T) {
	t.Parallel()
	libraries := []string{
		"github.com/opencontainers/go-digest",
		"github.com/opencontainers/image-spec",
		"github.com/klauspost/compress",
		"github.com/ulikunitz/xz",
		"golang.org/x/sys/unix",
		"golang.org/x/sync",
		module + "/internal/atomicfile", // leaves, see TestLeaves
		module + "/internal/filelock",
		module + "/internal/safefile",
		module + "/internal/jsonbound",
		module + "/internal/budget",
		module + "/internal/hashtable",
	}
	tests := map[string][]string{
		"./layout":     append(slices.Clone(libraries), module+"/layout"),
		"./bundle/...": append(slices.Clone(libraries), module+"/layout", module+"/bundle"),
	}
	for pkg, allowed := range tests {
		t.Run(pkg, func(t *testing.T) {
			t.Parallel()
			for _, line := range goList(t, "-deps", "-f", "{{.ImportPath}} {{.Standard}}", pkg) {
				dep, standard, _ := strings.Cut(line, " ")
				if standard == "true" {
					if within(dep, "net/http") {
						t.Errorf("%s depends on %s: it works on files, not on a network", pkg, dep)
					}
					continue
				}
				if !slices.ContainsFunc(allowed, func(path string) bool { return within(dep, path) }) {
					t.Errorf("%s depends on %s, which is not among what it may depend on", pkg, dep)
				}
			}
		})
	}
}

// TestLeaves holds that the internal packages below layout and bundle import
// nothing of this module but each other.
func TestLeaves(t *testing.T) {
	t.Parallel()
	leaves := []string{module + "/internal/atomicfile", module + "/internal/filelock", module + "/internal/progress", module + "/internal/safefile", module + "/internal/jsonbound", module + "/internal/budget", module + "/internal/hashtable"}
	for _, leaf := range leaves {
		for _, dep := range goList(t, "-deps", leaf) {
			if within(dep, module) && !slices.Contains(leaves, dep) {
				t.Errorf("%s imports %s: a leaf imports nothing of this module but leaves", leaf, dep)
			}
		}
	}
}

// TestCommands holds that no file of the commands knows a tar or the inside of a store: what
// works on those is in packages of its own.
func TestCommands(t *testing.T) {
	t.Parallel()
	inside := []string{
		"archive/tar", "go.podman.io/storage", "github.com/vbatts/tar-split", "github.com/erofs/go-erofs", module + "/internal/erofs",
		module + "/internal/store/build", module + "/internal/store/dir", module + "/internal/store/extract", module + "/internal/store/image",
		module + "/internal/store/tarsplit", module + "/internal/store/verify", module + "/internal/rmtree",
	}
	for _, imported := range goList(t, "-f", `{{join .Imports "\n"}}`, module+"/cmd/...") {
		if slices.ContainsFunc(inside, func(path string) bool { return within(imported, path) }) {
			t.Errorf("cmd imports %s", imported)
		}
	}
}

// TestDirection holds who of the module imports what directly.
func TestDirection(t *testing.T) {
	t.Parallel()
	rules := []struct {
		imported string
		by       []string // packages of the module that may, with what is below them
		reason   string
	}{
		{module + "/cmd", nil, "nothing imports a command"},
		{"github.com/spf13/cobra", []string{"cmd"}, "flags and wiring live in cmd"},
		{"go.podman.io/storage", []string{"internal/store"}, "one package knows the types of containers/storage"},
		{"go.podman.io/image/v5/docker", []string{"internal/pull"}, "one package talks to registries"},
		{"go.podman.io/image/v5/pkg/sysregistriesv2", []string{"internal/pull"}, "one package knows registries.conf"},
		{"github.com/google/go-containerregistry/pkg/v1/remote", []string{"internal/pull", "internal/samplerelease"}, "one package talks to registries, and the made-up release fills one"},
		{"github.com/pelletier/go-toml/v2", []string{"internal/nodeconfig"}, "it gives positions in storage.conf; all else is read as containers/* reads it, with BurntSushi/toml"},
		{"k8s.io/client-go", []string{"internal/imagelist/cluster", "internal/audit"}, "two packages talk to clusters"},
	}
	for _, line := range goList(t, "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...") {
		pkg, rest, _ := strings.Cut(line, " ")
		name := strings.TrimPrefix(pkg, module+"/")
		for imported := range strings.FieldsSeq(rest) {
			for _, rule := range rules {
				// docker/reference is about names, not about registries.
				if !within(imported, rule.imported) || strings.HasSuffix(imported, "/docker/reference") {
					continue
				}
				if !slices.ContainsFunc(rule.by, func(path string) bool { return within(name, path) }) {
					t.Errorf("%s imports %s: %s", name, imported, rule.reason)
				}
			}
		}
	}
}
