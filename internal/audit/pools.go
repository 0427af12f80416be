package audit

import (
	"slices"

	"github.com/nodeseal/nodeseal/internal/kubeobject"
	"github.com/nodeseal/nodeseal/internal/tomlbound"
)

const poolKind = "MachineConfigPool.machineconfiguration.openshift.io"

// machinePool is what is read of a MachineConfigPool.
type machinePool struct {
	name string
	// sets are the names of its PinnedImageSets.
	sets []string
	// wanted and booted are the configurations that its nodes get and have.
	wanted, booted string
	// empty says that no node is of it: as worker, where control planes run everything.
	empty bool
}

// pools returns the pools, by name.
func (s *Snapshot) pools() []machinePool {
	var out []machinePool
	for _, o := range s.Settings[poolKind] {
		type named struct {
			Name string `json:"name"`
		}
		var v struct {
			Spec struct {
				Configuration named   `json:"configuration"`
				Sets          []named `json:"pinnedImageSets"`
			} `json:"spec"`
			Status struct {
				Configuration named `json:"configuration"`
				Machines      *int  `json:"machineCount"`
			} `json:"status"`
		}
		if o.Decode(&v) != nil {
			continue // the collector's problem
		}
		p := machinePool{name: o.Metadata.Name, wanted: v.Spec.Configuration.Name, booted: v.Status.Configuration.Name}
		p.empty = v.Status.Machines != nil && *v.Status.Machines == 0
		for _, set := range v.Spec.Sets {
			p.sets = append(p.sets, set.Name)
		}
		out = append(out, p)
	}
	return out
}

// pinnedSet is a PinnedImageSet.
type pinnedSet struct {
	kubeobject.Object
	refs []string
}

// pinnedSets returns the PinnedImageSets that the nodes of a pool have: the operator gives
// a pool those with its role, and nodes of a custom pool also have those of worker.
func (s *Snapshot) pinnedSets(pool string) []pinnedSet {
	roles := []string{pool}
	if pool != "master" && pool != "arbiter" && pool != "worker" {
		roles = append(roles, "worker")
	}
	var named []string
	for _, p := range s.pools() {
		if slices.Contains(roles, p.name) {
			named = append(named, p.sets...)
		}
	}
	var out []pinnedSet
	for _, o := range s.Settings["PinnedImageSet.machineconfiguration.openshift.io"] {
		role := o.Metadata.Labels["machineconfiguration.openshift.io/role"]
		if !slices.Contains(roles, role) && !slices.Contains(named, o.Metadata.Name) {
			continue
		}
		var v struct {
			Spec struct {
				Images []struct {
					Name string `json:"name"`
				} `json:"pinnedImages"`
			} `json:"spec"`
		}
		if o.Decode(&v) != nil || len(v.Spec.Images) == 0 {
			continue
		}
		set := pinnedSet{Object: o}
		for _, img := range v.Spec.Images {
			set.refs = append(set.refs, img.Name)
		}
		out = append(out, set)
	}
	return out
}

// pins returns the pinned_images of a drop-in of CRI-O.
func pins(content string) []string {
	var v struct {
		Crio struct {
			Image struct {
				Pinned []string `toml:"pinned_images"`
			} `toml:"image"`
		} `toml:"crio"`
	}
	if tomlbound.Unmarshal([]byte(content), &v) != nil {
		return nil
	}
	return v.Crio.Image.Pinned
}
