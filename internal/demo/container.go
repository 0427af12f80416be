package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/nodeseal/nodeseal/internal/runimage"
	"github.com/nodeseal/nodeseal/internal/samplerelease"
	"github.com/nodeseal/nodeseal/internal/store"
)

// container starts the writer image from the store, by podman where it can.
func (d *demo) container(ctx context.Context) error {
	img, _ := d.release.Image(samplerelease.WriterImage)
	d.Report.Begin("a container of " + samplerelease.WriterImage + " from the store, with no network")
	how := "podman"
	res, err := d.podman(ctx, img)
	if errors.Is(err, runimage.ErrNoPodman) || errors.Is(err, runimage.ErrSetup) {
		how = "an overlay mount and namespaces of its own"
		res, err = d.ownContainer(ctx, img)
	}
	if err != nil {
		return fmt.Errorf("starting a container: %w", err)
	}
	if res.ExitCode != 0 {
		return fmt.Errorf("the container failed with exit code %d: %s%s", res.ExitCode, res.Stdout, res.Stderr)
	}
	d.Report.Done("by " + how + ": " + strings.TrimSpace(string(res.Stdout)))
	return nil
}

func (d *demo) podman(ctx context.Context, img samplerelease.Image) (runimage.Result, error) {
	if err := runimage.PodmanUsable(ctx); err != nil {
		return runimage.Result{}, err
	}
	return runimage.RunPodman(ctx, d.path(StoreDir), img.Ref, nil, d.Dir)
}

func (d *demo) ownContainer(ctx context.Context, img samplerelease.Image) (runimage.Result, error) {
	var lowers []string
	parent := ""
	for _, diffID := range img.DiffIDs {
		parent = store.LayerID(parent, diffID)
		lowers = append([]string{filepath.Join(d.path(StoreDir), store.DiffDir(parent))}, lowers...)
	}
	return runimage.Run(ctx, runimage.Spec{
		Lowers: lowers, Args: append([]string{"/usr/bin/" + samplerelease.WriterImage}, d.ProgramArgs...), Scratch: d.Dir,
	})
}

// unchanged shows that the container left the store as it was.
func (d *demo) unchanged(context.Context) error {
	d.Report.Begin("the store after the container")
	sum, err := treeSum(d.path(StoreDir))
	if err != nil {
		return err
	}
	if sum != d.storeSum {
		return fmt.Errorf("the store was changed: %s, before %s", sum, d.storeSum)
	}
	d.Report.Done("unchanged: " + sum)
	return nil
}

// Container is what the container of the demo does: it changes what came with
// its image in every way, and says so.
func Container(w io.Writer) error {
	at := func(name string) string { return filepath.Join(samplerelease.WriterDir, name) }
	steps := []struct {
		what string
		do   func() error
	}{
		{"created", func() error { return os.WriteFile(at("created"), []byte("new\n"), 0o600) }},
		{"overwrote", func() error { return os.WriteFile(at(samplerelease.Overwrite), []byte("other\n"), 0o600) }},
		{"renamed", func() error { return os.Rename(at(samplerelease.Rename), at("renamed")) }},
		{"removed", func() error { return os.Remove(at(samplerelease.Remove)) }},
		{"chmodded", func() error { return os.Chmod(at(samplerelease.Chmod), 0o700) }},
	}
	done := make([]string, len(steps))
	for i, s := range steps {
		if err := s.do(); err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
		done[i] = s.what
	}
	if _, err := os.Stat(at(samplerelease.Remove)); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removed: the file is still there: %w", err)
	}
	networks, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("network: %w", err)
	}
	names := make([]string, len(networks))
	for i, n := range networks {
		names[i] = n.Name
	}
	_, err = fmt.Fprintf(w, "%s files of its image; network interfaces: %s\n", strings.Join(done, ", "), strings.Join(names, " "))
	return err
}
