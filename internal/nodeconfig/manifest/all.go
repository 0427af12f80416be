package manifest

import (
	"bytes"
	_ "embed" // the README
	"fmt"
	"slices"
	"strings"
	"text/template"

	"github.com/nodeseal/nodeseal/internal/madeby"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/ocp"
)

// Options say what All makes.
type Options struct {
	// Pools are the names of the MachineConfigPools, at least one.
	Pools   []string
	Version Version
	// Settings are the nodes'.
	Settings machine.Settings
	// RuntimeConfig leaves storage.conf to a ContainerRuntimeConfig;
	// Settings.StorageConf must be nil then.
	RuntimeConfig bool
	// Pinned makes PinnedImageSets; Settings.Pins must be empty or cover all of them.
	Pinned PinnedImages
	// Artifacts has the ContainerRuntimeConfig name the slots as stores of OCI artifacts too.
	Artifacts bool
	// OS says what the nodes will have of operating systems.
	OS OperatingSystems
	// Signatures are those of release images; there may be none.
	Signatures []ReleaseSignature
	// Made says when, with what and from what, for the README.
	Made madeby.Mark
	// Installer makes DaemonSets where its Image is set.
	Installer Installer
}

// File is one of the files of All.
type File struct {
	Name    string
	Content []byte
}

// readme is the page about the order.
//
//go:embed readme.md.tmpl
var readme string

// Check refuses what would work against itself, with the reasons. Errors wrap
// machine.ErrSettings.
func (o Options) Check() error {
	if len(o.Pools) == 0 {
		return machine.Refuse("--pool is missing: every pool gets its own MachineConfig")
	}
	if pins := o.Settings.Pins; len(pins) > 0 {
		if lost := ocp.Uncovered(pins, o.Pinned.Refs); len(lost) > 0 {
			return machine.Refuse("the pins (%s) do not cover %d images of the PinnedImageSet, among them %s: arrays of CRI-O's drop-ins replace each other, "+
				"and %s is the last; add a --pin for them", strings.Join(pins, ", "), len(lost), lost[0], machine.PinsFile)
		}
	}
	if o.RuntimeConfig && o.Settings.StorageConf != nil {
		return machine.Refuse("a storage.conf and a ContainerRuntimeConfig at once: the MachineConfig's file would win over what the operator writes, and hide its later changes")
	}
	return nil
}

// All returns everything that a cluster is given, README.md, which says in which order,
// and what the MachineConfigs hold, for review.
func All(o Options) ([]File, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	var files []File
	add := func(name string, content []byte, err error) error {
		files = append(files, File{Name: name, Content: content})
		return err
	}
	pools := slices.Compact(slices.Sorted(slices.Values(o.Pools)))
	var err error
	if o.Installer.Image != "" {
		content, e := DaemonSet(pools, o.Installer, o.Settings)
		err = add("10-daemonset.yaml", content, e)
	}
	if err == nil && o.Version.AtLeast(minorDisruption) {
		content, e := NodeDisruptionPolicy(o.Version, o.Settings)
		err = add("20-nodedisruptionpolicy.yaml", content, e)
	}
	for _, pool := range pools {
		if err == nil {
			content, e := MachineConfig(pool, o.Settings)
			err = add("30-machineconfig-"+pool+".yaml", content, e)
		}
		if err == nil && o.RuntimeConfig {
			content, e := ContainerRuntimeConfig(pool, o.Version, o.Settings, o.Artifacts)
			err = add("40-containerruntimeconfig-"+pool+".yaml", content, e)
		}
		if err == nil && len(o.Pinned.Refs) > 0 {
			content, e := PinnedImageSets(pool, o.Version, o.Pinned)
			err = add("50-pinnedimageset-"+pool+".yaml", content, e)
		}
	}
	if err == nil && len(o.Signatures) > 0 {
		content, e := Signatures(o.Signatures)
		err = add("60-signatures.yaml", content, e)
	}
	if err != nil {
		return nil, err
	}
	page, err := o.readme(pools, files)
	if err != nil {
		return nil, err
	}
	texts, err := review(o.Settings)
	if err != nil {
		return nil, err
	}
	return slices.Concat([]File{{Name: readmeName, Content: page}}, files, texts), nil
}

func (o Options) readme(pools []string, files []File) ([]byte, error) {
	t, err := template.New(readmeName).Parse(readme)
	if err != nil {
		return nil, fmt.Errorf("making the README: %w", err)
	}
	has := func(prefix string) bool {
		return slices.ContainsFunc(files, func(f File) bool { return strings.HasPrefix(f.Name, prefix) })
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{
		"Version": o.Version, "Pools": pools, "Root": o.Settings.Root, "Files": files, "Namespace": Namespace,
		"DaemonSet": has("10-"), "Policy": has("20-"), "RuntimeConfig": has("40-"), "Pinned": has("50-"),
		"Signatures": has("60-"), "OS": o.osText(), "Key": o.Settings.Key != nil, "Made": o.Made.String(),
	})
	if err != nil {
		return nil, fmt.Errorf("making the README: %w", err)
	}
	return out.Bytes(), nil
}
