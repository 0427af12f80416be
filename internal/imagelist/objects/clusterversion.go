package objects

import (
	"fmt"
	"slices"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// update is a release as ClusterVersion has it.
type update struct {
	State   string `json:"state"`
	Version string `json:"version"`
	Image   string `json:"image"`
}

// clusterVersion is what is read of ClusterVersion.
type clusterVersion struct {
	Spec struct {
		// DesiredUpdate is what `oc adm upgrade` asked for. It may name a version or an
		// image alone, and stays when the upgrade is over.
		DesiredUpdate update `json:"desiredUpdate"`
	} `json:"spec"`
	Status struct {
		// Desired is what the operator works towards: it follows DesiredUpdate only if that
		// could be verified.
		Desired     update   `json:"desired"`
		History     []update `json:"history"`
		Available   []update `json:"availableUpdates"`
		Conditional []struct {
			Release update `json:"release"`
		} `json:"conditionalUpdates"`
	} `json:"status"`
}

// wanted returns the release of spec.desiredUpdate, with the version or the image that it
// leaves out if any other field knows it.
func (v *clusterVersion) wanted() update {
	w := v.Spec.DesiredUpdate
	all := slices.Concat([]update{v.Status.Desired}, v.Status.History, v.Status.Available)
	for _, c := range v.Status.Conditional {
		all = append(all, c.Release)
	}
	for _, u := range all {
		switch {
		case w.Image == "" && w.Version != "" && u.Version == w.Version:
			w.Image = u.Image
		case w.Version == "" && w.Image != "" && u.Image == w.Image:
			w.Version = u.Version
		}
	}
	return w
}

// clusterVersion takes the release that an administrator wants, the one that the operator
// works towards and, while an upgrade goes on, those back to the last one that was
// completed.
func (f *Facts) clusterVersion(o kubeobject.Object) error {
	var v clusterVersion
	if err := o.Decode(&v); err != nil {
		return err
	}
	release := func(u update, name string) {
		if u.Image == "" {
			return
		}
		f.add(o, u.Image, "", name)
		for _, r := range f.Releases {
			if r.Image == u.Image {
				return
			}
		}
		f.Releases = append(f.Releases, bundle.Release{Version: u.Version, Image: u.Image})
	}
	wanted := v.wanted()
	if wanted.Image != v.Status.Desired.Image {
		release(wanted, "wanted release")
	}
	release(v.Status.Desired, "desired release")
	for _, u := range v.Status.History {
		release(u, "release "+u.Version)
		if u.State == "Completed" {
			break
		}
	}
	if wanted.Image == "" && wanted.Version != "" {
		return fmt.Errorf("%w: spec.desiredUpdate wants release %s, and no field names its image: give it with --release", kubeobject.ErrObject, wanted.Version)
	}
	return nil
}
