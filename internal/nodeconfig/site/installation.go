package site

import (
	"bytes"
	"context"
	_ "embed" // the README
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"

	"github.com/nodeseal/nodeseal/internal/answer/repopath"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/imagelist/release"
	"github.com/nodeseal/nodeseal/internal/installneeds"
	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/iso"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/manifest"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/ocp"
	"github.com/nodeseal/nodeseal/internal/ui"
	"github.com/nodeseal/nodeseal/internal/visible"
)

const (
	// ManifestDir is where openshift-install looks for more manifests.
	ManifestDir = "openshift/"
	// LiveConfig is the Ignition configuration of the live system.
	LiveConfig = "ignition/live.ign"
	// MergedConfig is that of the installation with LiveConfig in it.
	MergedConfig = "ignition/merged.ign"
	// InstallReadme is the page of steps.
	InstallReadme = "README.md"
	// InstallTitle is how InstallReadme begins.
	InstallTitle = "# Installing OpenShift "
)

//go:embed installation.md.tmpl
var installPage string

// ErrLacks is wrapped if the bundle lacks what the installation asks for.
var ErrLacks = errors.New("the bundle lacks images that the installation asks for")

// Installation is what people ask for of a cluster that is to be installed.
type Installation struct {
	Cluster
	Flavor installneeds.Flavor
	// Into is the Ignition configuration of the installation, with which that of the live
	// system is merged; "" leaves that to a later run.
	Into string
}

// Files returns the manifests, the Ignition configuration and the page of steps, under their
// names in the directory of config install. Errors wrap ErrLacks, iso.ErrIgnition,
// iso.ErrTwice, machine.ErrSettings, or are those of installneeds.Read.
func (o *Installation) Files(ctx context.Context, in Inputs) (Files, error) {
	if o.Bundle == "" || o.Key == "" {
		return Files{}, refuse("--bundle and --key are needed: of what is installed, and the key that signed the program of the medium")
	}
	if o.RuntimeConfig || o.Installer.Image != "" {
		return Files{}, refuse("a ContainerRuntimeConfig or a DaemonSet is for clusters that run")
	}
	if len(o.Pools) == 0 {
		if o.Pools = []string{"master", "worker"}; o.Flavor == installneeds.SNO {
			o.Pools = []string{"master"}
		}
	}
	p, err := o.release(ctx)
	if err != nil {
		return Files{}, err
	}
	made, err := o.Cluster.Files(ctx, in)
	if err != nil {
		return Files{}, err
	}
	out := Files{Files: []File{{}}} // the page, which tells of the others
	for _, f := range made.Files {
		if name, ok := strings.CutSuffix(f.Name, ".yaml"); ok && !strings.Contains(f.Name, "/") {
			out.Files = append(out.Files, File{Name: ManifestDir + "99-nodeseal-" + name[len("00-"):] + ".yaml", Content: f.Content})
		}
	}
	quiet := in
	quiet.Progress = nil // all was said
	s, _, err := o.Settings(ctx, quiet)
	if err != nil {
		return Files{}, err
	}
	live, err := o.live(s, p)
	if err != nil {
		return Files{}, err
	}
	out.Files = append(out.Files, File{Name: LiveConfig, Content: string(live)})
	if o.Into != "" {
		merged, err := o.merge(in, live)
		if err != nil {
			return Files{}, err
		}
		out.Files = append(out.Files, File{Name: MergedConfig, Content: string(merged)})
	}
	out.Files[0] = File{Name: InstallReadme}
	if out.Files[0].Content, err = o.page(out, p, in.Mark("bundle "+o.Bundle).String()); err != nil {
		return Files{}, err
	}
	return out, nil
}

// release reads the release of the bundle, which must have all that the installation asks for.
func (o *Installation) release(ctx context.Context) (*release.Payload, error) {
	v, err := ParseVersion(o.Version)
	if err != nil {
		return nil, err
	}
	f, err := o.Trust.Open(ctx, o.Bundle)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	p, err := installneeds.Read(ctx, f, v)
	if err != nil {
		return nil, err
	}
	if rep := installneeds.Check(f.Inventory(), p, o.Flavor); len(rep.Missing) > 0 {
		what := rep.Missing[0].What
		if len(rep.Platforms) > 1 {
			what += " for " + rep.Missing[0].Platform
		}
		return nil, fmt.Errorf("%w: %d, among them %s (%s)", ErrLacks, len(rep.Missing), rep.Missing[0].Component, what)
	}
	return p, nil
}

// live is the Ignition configuration of the live system.
func (o *Installation) live(s machine.Settings, p *release.Payload) ([]byte, error) {
	_, d := imagelist.Split(p.Image)
	conf, err := nodeconfig.Complete(nil)
	if err != nil {
		return nil, err
	}
	is, ok := ocp.Read(p.Version)
	if !ok {
		return nil, refuse("the release image says that its version is %q", p.Version)
	}
	l := machine.Live{Release: is.String(), Digest: d, StorageConf: conf, Registries: s.Registries, Key: s.Key, Address: o.Address}
	files, err := l.Files()
	if err != nil {
		return nil, err
	}
	units, err := l.Units()
	if err != nil {
		return nil, err
	}
	config, err := manifest.Ignition(files, units)
	if err != nil {
		return nil, err
	}
	out, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("writing the Ignition configuration: %w", err)
	}
	return append(out, '\n'), nil
}

// merge puts the live system's configuration into that of the installation, which must still fit
// into an ISO. What a bootstrap machine gets by UPI comes from a web server.
func (o *Installation) merge(in Inputs, live []byte) ([]byte, error) {
	have, err := in.read(o.Into)
	if err != nil {
		return nil, err
	}
	merged, err := iso.Merge(have, live)
	if err != nil {
		return nil, refuse("--into %s: %w", o.Into, err)
	}
	size, err := iso.Embedded(merged)
	switch {
	case err != nil:
		return nil, err
	case size <= iso.Area:
		in.Progress.Say(fmt.Sprintf("%s takes about %s of the %s that an ISO has for it", MergedConfig, ui.Bytes(size), ui.Bytes(iso.Area)))
	case o.Flavor == installneeds.UPI:
		in.Progress.Warn(fmt.Sprintf("%s takes about %s, more than the %s that an ISO has for it: serve it by HTTP", MergedConfig, ui.Bytes(size), ui.Bytes(iso.Area)))
	default:
		return nil, refuse("--into %s: merged, it takes about %s of the ISO, which has %s for it: leave manifests out of it, or mirrors", o.Into, ui.Bytes(size), ui.Bytes(iso.Area))
	}
	return merged, nil
}

// page is the page of steps.
func (o *Installation) page(files Files, p *release.Payload, made string) (string, error) {
	t, err := template.New(InstallReadme).Parse(installPage)
	if err != nil {
		return "", fmt.Errorf("making the README: %w", err)
	}
	type source struct{ From, To string }
	var sources []source
	for _, ref := range []string{p.Image, p.Components[0].Ref} {
		name, _ := imagelist.Split(ref)
		from := imagelist.Repository(name)
		if s := (source{from, o.Address + "/" + repopath.Of(from)}); !slices.Contains(sources, s) {
			sources = append(sources, s)
		}
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{
		"Title": InstallTitle, "Version": p.Version, "Image": p.Image, "Flavor": string(o.Flavor), "Files": files.Names()[1:], "Made": made,
		"Merged": o.Into != "", "Bundle": visible.ShellWord(o.Bundle),
		"Again":   "nodeseal config install --flavor " + string(o.Flavor) + " --ocp-version " + p.Version + " --bundle " + visible.ShellWord(o.Bundle) + " --key " + visible.ShellWord(string(o.Key)) + " -o .",
		"Address": o.Address, "Sources": sources, "Label": machine.StickLabel, "Pools": o.Pools, "Memory": ui.Bytes(machine.LiveMemory),
	})
	if err != nil {
		return "", fmt.Errorf("making the README: %w", err)
	}
	return out.String(), nil
}
