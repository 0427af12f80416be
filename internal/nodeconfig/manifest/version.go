package manifest

import (
	_ "embed" // the template

	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/ocp"
)

// Version is a version of OpenShift.
type Version = ocp.Version

// ParseVersion reads 4.18 or 4.18.3. Errors wrap machine.ErrSettings.
func ParseVersion(s string) (Version, error) {
	v, err := ocp.Parse(s)
	if err != nil {
		return v, machine.Refuse("--ocp-version: %v", err)
	}
	return v, nil
}

// The minor versions of OpenShift 4 that something begins with.
const (
	minorTemplate   = 16 // the storage.conf that is built in
	minorPinnedTech = 16 // PinnedImageSet v1alpha1
	minorDisruption = 17 // NodeDisruptionPolicy
	minorStores     = 23 // additionalImageStores and additionalArtifactStores of a ContainerRuntimeConfig
)

// storageTemplate is the machine-config-operator's storage.conf since 4.16.
//
//go:embed storage.conf-4.16
var storageTemplate []byte

// StorageConf returns the storage.conf that nodes of the version have before
// anything is changed: from, taken from a node, or where that is nil the
// machine-config-operator's. A version whose template is not known, and a file
// that is frozen from an older one, give errors that wrap machine.ErrSettings.
func StorageConf(v Version, from []byte) ([]byte, error) {
	if from == nil {
		if !v.AtLeast(minorTemplate) {
			return nil, machine.Refuse("the storage.conf of OpenShift %s is not built in (it is from 4.%d on): "+
				"copy it from a node of the pool and name it with --from", v, minorTemplate)
		}
		return storageTemplate, nil
	}
	conf, err := nodeconfig.ReadStorage(from)
	if err != nil {
		return nil, err
	}
	const old = "/var/run/containers/storage"
	if v.AtLeast(minorTemplate) && conf.RunRoot == old {
		return nil, machine.Refuse("this storage.conf has the runroot %s of releases before 4.%d: CRI-O and podman of %s would use "+
			"another one than the rest of the node; take the file of a node that is on %s", old, minorTemplate, v, v)
	}
	return nodeconfig.Complete(from)
}
