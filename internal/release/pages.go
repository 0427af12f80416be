package release

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// writePages writes the manual pages and the completions into one archive, as
// nodeseal-VERSION/share/...: what the binary for the machine that this runs on prints,
// which is built for this where the release has none.
func (o Options) writePages(ctx context.Context, binaries []binary) (name string, err error) {
	name = "nodeseal-" + o.Version + "-pages.tar.gz"
	dir, err := os.MkdirTemp("", "nodeseal-release-")
	if err != nil {
		return "", fmt.Errorf("pages: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	program, err := o.program(ctx, binaries, dir)
	if err != nil {
		return "", err
	}
	share := filepath.Join(dir, "share")
	for _, d := range []string{"man/man1", "bash-completion/completions", "zsh/site-functions", "fish/vendor_completions.d"} {
		if err := os.MkdirAll(filepath.Join(share, d), 0o755); err != nil {
			return "", fmt.Errorf("pages: %w", err)
		}
	}
	if _, err := o.printed(ctx, program, "man", filepath.Join(share, "man/man1")); err != nil {
		return "", err
	}
	for shell, path := range map[string]string{
		"bash": "bash-completion/completions/nodeseal", "zsh": "zsh/site-functions/_nodeseal", "fish": "fish/vendor_completions.d/nodeseal.fish",
	} {
		text, err := o.printed(ctx, program, "completion", shell)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(share, path), text, 0o644); err != nil {
			return "", fmt.Errorf("pages: %w", err)
		}
	}
	license, err := os.ReadFile(filepath.Join(o.Source, "LICENSE"))
	if err != nil {
		return "", fmt.Errorf("pages: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "share", "LICENSE"), license, 0o644); err != nil {
		return "", fmt.Errorf("pages: %w", err)
	}
	members, err := tree(share, "nodeseal-"+o.Version+"/share")
	if err != nil {
		return "", fmt.Errorf("pages: %w", err)
	}
	var packed bytes.Buffer
	zip, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return "", fmt.Errorf("pages: %w", err)
	}
	if err := writeTar(zip, o.Time, members); err != nil {
		return "", fmt.Errorf("pages: %w", err)
	}
	if err := zip.Close(); err != nil {
		return "", fmt.Errorf("pages: %w", err)
	}
	return name, o.writeFile(name, packed.Bytes())
}

// printed returns what the program prints.
func (o Options) printed(ctx context.Context, program string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	// Manual pages carry this time; a person's NODESEAL_... must not change what they say.
	cmd.Env = []string{fmt.Sprintf("SOURCE_DATE_EPOCH=%d", o.Time.Unix()), "HOME=/nonexistent"}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("nodeseal %v: %w\n%s", args, err, stderr.Bytes())
	}
	return stdout.Bytes(), nil
}

// program returns the path of a binary that runs here. One that is built lies in dir.
func (o Options) program(ctx context.Context, binaries []binary, dir string) (string, error) {
	for _, b := range binaries {
		if b.architecture == runtime.GOARCH && runtime.GOOS == "linux" {
			return filepath.Abs(filepath.Join(o.Out, b.name))
		}
	}
	path := filepath.Join(dir, "nodeseal")
	return path, o.compile(ctx, path, "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
}
