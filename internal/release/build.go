package release

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// build makes the binary of a platform.
func (o Options) build(ctx context.Context, platform string) (binary, error) {
	system, architecture, _ := strings.Cut(platform, "/")
	if system != "linux" || architecture == "" || strings.ContainsAny(architecture, "/.") {
		return binary{}, fmt.Errorf("platform %q is not linux/ARCHITECTURE", platform)
	}
	b := binary{architecture: architecture, name: "nodeseal-linux-" + architecture}
	path, err := filepath.Abs(filepath.Join(o.Out, b.name))
	if err != nil {
		return binary{}, fmt.Errorf("binary %s: %w", b.name, err)
	}
	err = o.compile(ctx, path, "GOOS="+system, "GOARCH="+architecture)
	return b, err
}

// compile makes a binary at a path, for the platform that the variables say.
func (o Options) compile(ctx context.Context, path string, variables ...string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", o.Tags,
		"-ldflags", "-s -w -X main.version="+o.Version, "-o", path, "./cmd/nodeseal")
	cmd.Dir = o.Source
	module := o.Module
	if module == "" {
		module = "off"
	}
	kept, err := o.fetching(ctx)
	if err != nil {
		return err
	}
	// What people set for their own builds must not change a release. An empty variable counts
	// as one that is not set, for which go env -w may have another value: GOENV=off.
	cmd.Env = append(append(os.Environ(), kept...), append([]string{
		"GOENV=off", "GOWORK=off", "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOEXPERIMENT=",
		"GOAMD64=v1", "GOARM64=v8.0", "GOPPC64=power8", "GOFIPS140=" + module,
	}, variables...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build of %s: %w\n%s", filepath.Base(path), err, out)
	}
	return nil
}

// fetching returns, as NAME=VALUE, what of people's settings says where modules and versions of
// Go come from. go.sum says what they are.
func (o Options) fetching(ctx context.Context) ([]string, error) {
	names := []string{"GOPROXY", "GONOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GOINSECURE", "GOVCS", "GOAUTH", "GOMODCACHE", "GOCACHE", "GOTOOLCHAIN"}
	cmd := exec.CommandContext(ctx, "go", append([]string{"env"}, names...)...)
	cmd.Dir = o.Source
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	values := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(values) != len(names) {
		return nil, fmt.Errorf("go env: %d values of %d", len(values), len(names))
	}
	for i, name := range names {
		names[i] = name + "=" + values[i]
	}
	return names, nil
}
