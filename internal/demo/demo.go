// Package demo runs the main job on this machine: an embedded registry, a small
// made-up release, and everything from the list of images to a container that
// runs from the sealed store with no network.
package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/internal/imagelist/file"
	"github.com/nodeseal/nodeseal/internal/mirror"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/pull"
	"github.com/nodeseal/nodeseal/internal/samplerelease"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/ui"
)

// The files of the demo below Options.Dir.
const (
	ListFile       = "images.lst"
	RegistriesFile = "registries.conf"
	BundleFile     = "release.tar.zst"
	StoreDir       = "store"
	workDir        = "nodeseal-work"
	// authFile holds no credentials: the demo needs none, and in a user
	// namespace those of root cannot be read.
	authFile = "auth.json"
)

// The operating system's image has as many layers as real ones, which have 50 to 100, of up
// to 300 MB each.
const (
	osLayers    = 64
	osLayerSize = 64 << 10
)

// Reporter is told how the demo goes on. Every Begin is followed by one Done or
// Skip, or by the error of Run.
type Reporter interface {
	// Begin starts a step.
	Begin(title string)
	// Done ends it with what came out.
	Done(detail string)
	// Skip ends it where this machine or user cannot do it.
	Skip(reason string)
}

// Options are the options of Run. All but Progress must be set.
type Options struct {
	// Dir is an empty directory for everything that the demo makes.
	Dir string
	// Program is a static executable that calls Container when it is started
	// with ProgramArgs.
	Program     string
	ProgramArgs []string
	// Root says that this process is root of the machine, and so may seal.
	Root bool
	// FullMapping says that files can be given to other users.
	FullMapping bool
	Report      Reporter
	Progress    progress.Func
}

// demo is one run.
type demo struct {
	Options
	release  *samplerelease.Release
	registry string
	storeSum string
}

// Run runs the demo. What it made stays in Dir; a sealed store is sealed still.
func Run(ctx context.Context, o Options) (err error) {
	d := &demo{Options: o}
	stop, err := d.publish(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for _, step := range []func(context.Context) error{d.bundle, d.verify, d.imports, d.seal, d.container, d.unchanged} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// publish makes the release and the list of its images, and serves it.
func (d *demo) publish(ctx context.Context) (func() error, error) {
	d.Report.Begin("a made-up release in a registry on this machine")
	release, err := samplerelease.Build(samplerelease.Options{
		OS:        samplerelease.OS{Layers: osLayers, LayerSize: osLayerSize},
		Writer:    &samplerelease.Program{Path: d.Program, Args: d.ProgramArgs},
		SingleUID: !d.FullMapping,
	})
	if err != nil {
		return nil, err
	}
	d.release = release
	addr, stop, err := release.Serve(ctx)
	if err != nil {
		return nil, err
	}
	d.registry = addr
	for name, text := range map[string]string{
		ListFile: release.ImagesList(), RegistriesFile: samplerelease.RegistriesConf(addr), authFile: "{}\n",
	} {
		if err := os.WriteFile(d.path(name), []byte(text), 0o644); err != nil {
			return nil, errors.Join(fmt.Errorf("demo: %w", err), stop())
		}
	}
	d.Report.Done(fmt.Sprintf("%d images, served at %s", len(release.Images), addr))
	return stop, nil
}

func (d *demo) path(name string) string { return filepath.Join(d.Dir, name) }

// bundle mirrors the list into the bundle.
func (d *demo) bundle(ctx context.Context) error {
	d.Report.Begin("nodeseal bundle --images images.lst -o release.tar.zst")
	list, err := file.Parse(strings.NewReader(d.release.ImagesList()), ListFile)
	if err != nil {
		return err
	}
	client, err := pull.New(pull.Options{RegistriesConf: d.path(RegistriesFile), AuthFile: d.path(authFile)})
	if err != nil {
		return err
	}
	res, err := mirror.Run(ctx, list, client, mirror.Options{
		Output: d.path(BundleFile), Work: d.path(workDir), Encoders: runtime.GOMAXPROCS(0), Progress: d.Progress,
	})
	if err != nil {
		return err
	}
	u := res.Inventory.Usage()
	kept := 0
	for _, img := range res.Inventory.Images {
		if img.Original {
			kept += len(img.Layers)
		}
	}
	d.Report.Done(fmt.Sprintf("%d images, %d layers, %s in a bundle of %s; %d layers of the operating system as the registry has them",
		len(res.Inventory.Images), u.Layers, ui.Bytes(u.LayerBytes), ui.Bytes(res.Size), kept))
	return nil
}

// verify rehashes the bundle.
func (d *demo) verify(ctx context.Context) error {
	d.Report.Begin("nodeseal verify release.tar.zst")
	f, size, err := archive.OpenBytes(d.path(BundleFile))
	if err != nil {
		return err
	}
	defer f.Close()
	rep, err := archive.Verify(ctx, f, size, archive.VerifyOptions{Jobs: runtime.GOMAXPROCS(0)})
	if err != nil {
		return err
	}
	if len(rep.Damage) > 0 {
		return rep.Damage[0]
	}
	d.Report.Done(fmt.Sprintf("%d blobs, every digest is right", rep.Blobs))
	return nil
}

// imports extracts the bundle into a store.
func (d *demo) imports(ctx context.Context) error {
	d.Report.Begin("nodeseal import release.tar.zst --store store")
	f, err := archive.OpenFile(ctx, d.path(BundleFile))
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	res, err := dir.Import(ctx, f, d.path(StoreDir), store.ImportOptions{Progress: d.Progress})
	if err != nil {
		return err
	}
	d.Report.Done(fmt.Sprintf("%d references resolved by the storage library, %d files", res.References, res.Files))
	return nil
}

// seal makes the store immutable, where this user and file system can.
func (d *demo) seal(ctx context.Context) error {
	d.Report.Begin("nodeseal seal store")
	if !d.Root {
		d.Report.Skip("immutable attributes need root")
		return d.sum()
	}
	rep, err := seal.Seal(ctx, d.path(StoreDir), seal.Options{})
	var unsupported *seal.UnsupportedError
	var privilege *seal.PrivilegeError
	switch {
	case errors.As(err, &unsupported), errors.As(err, &privilege):
		d.Report.Skip(err.Error())
		return d.sum()
	case err != nil:
		return err
	}
	d.Report.Done(fmt.Sprintf("%d files and directories immutable, the store mounted read-only", rep.Immutable))
	return d.sum()
}

// sum remembers what the store holds.
func (d *demo) sum() (err error) {
	d.storeSum, err = treeSum(d.path(StoreDir))
	return err
}
