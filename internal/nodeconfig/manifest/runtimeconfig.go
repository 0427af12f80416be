package manifest

import "github.com/nodeseal/nodeseal/internal/nodeconfig/machine"

type containerRuntimeConfig struct {
	typeMeta
	Metadata meta        `json:"metadata"`
	Spec     runtimeSpec `json:"spec"`
}

type runtimeSpec struct {
	Selector labelSelector    `json:"machineConfigPoolSelector"`
	Config   runtimeConfigSet `json:"containerRuntimeConfig"`
}

type labelSelector struct {
	MatchLabels map[string]string `json:"matchLabels"`
}

type runtimeConfigSet struct {
	Stores    []storePath `json:"additionalImageStores"`
	Artifacts []storePath `json:"additionalArtifactStores,omitempty"`
}

type storePath struct {
	Path string `json:"path"`
}

// ContainerRuntimeConfig returns the object that has the machine-config-operator
// itself name the slots in storage.conf, and with artifacts in CRI-O's configuration. The MachineConfig must not carry a
// storage.conf then.
func ContainerRuntimeConfig(pool string, v Version, s machine.Settings, artifacts bool) ([]byte, error) {
	if err := CheckPool(pool); err != nil {
		return nil, err
	}
	if !v.AtLeast(minorStores) {
		return nil, machine.Refuse("additionalImageStores of a ContainerRuntimeConfig are there from OpenShift 4.%d on, not in %s "+
			"(in 4.22 as a Technology Preview, whose feature set cannot be taken back and blocks upgrades): "+
			"the storage.conf of config machineconfig does the same", minorStores, v)
	}
	if err := s.Check(); err != nil {
		return nil, err
	}
	crc := containerRuntimeConfig{
		typeMeta: typeMeta{APIVersion: groupMachineConfig + "/v1", Kind: "ContainerRuntimeConfig"},
		Metadata: meta{Name: Name(pool)},
		Spec:     runtimeSpec{Selector: labelSelector{MatchLabels: map[string]string{labelPool + pool: ""}}},
	}
	for _, store := range s.Stores() {
		crc.Spec.Config.Stores = append(crc.Spec.Config.Stores, storePath{store})
		if artifacts {
			crc.Spec.Config.Artifacts = append(crc.Spec.Config.Artifacts, storePath{store})
		}
	}
	return encode(crc)
}
