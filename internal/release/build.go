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
	// What people set for their own builds must not change a release.
	cmd.Env = append(os.Environ(), append([]string{
		"CGO_ENABLED=0", "GOFLAGS=", "GOEXPERIMENT=", "GOAMD64=", "GOARM64=", "GOPPC64=", "GOFIPS140=" + module,
	}, variables...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build of %s: %w\n%s", filepath.Base(path), err, out)
	}
	return nil
}
