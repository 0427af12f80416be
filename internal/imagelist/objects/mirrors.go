package objects

import (
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// OwnRegistry is how pods name the cluster's own registry.
const OwnRegistry = "image-registry.openshift-image-registry.svc:5000"

// mirrorSet reads the four kinds of objects that name mirrors: two generations
// of the same thing, with the list under three names.
func (f *Facts) mirrorSet(o kubeobject.Object) error {
	type entry struct {
		Source  string   `json:"source"`
		Mirrors []string `json:"mirrors"`
		Policy  string   `json:"mirrorSourcePolicy"`
	}
	var v struct {
		Spec struct {
			Digest  []entry `json:"imageDigestMirrors"`
			Tag     []entry `json:"imageTagMirrors"`
			Content []entry `json:"repositoryDigestMirrors"`
		} `json:"spec"`
	}
	if err := o.Decode(&v); err != nil {
		return err
	}
	for _, list := range [][]entry{v.Spec.Digest, v.Spec.Tag, v.Spec.Content} {
		for _, e := range list {
			if e.Source == "" || len(e.Mirrors) == 0 {
				continue
			}
			f.Mirrors = append(f.Mirrors, imagelist.Mirror{
				Kind: o.Kind, Object: o.Metadata.Name, Source: e.Source, Mirrors: e.Mirrors,
				NeverSource: e.Policy == "NeverContactSource",
			})
		}
	}
	return nil
}

// route takes the route to the cluster's own registry: outside the cluster its
// images are only to be had there.
func (f *Facts) route(o kubeobject.Object) error {
	if o.Metadata.Namespace != "openshift-image-registry" {
		return nil
	}
	var v struct {
		Spec struct {
			Host string `json:"host"`
			To   struct {
				Kind string `json:"kind"`
				Name string `json:"name"`
			} `json:"to"`
		} `json:"spec"`
	}
	if err := o.Decode(&v); err != nil {
		return err
	}
	if v.Spec.Host != "" && v.Spec.To.Kind == "Service" && v.Spec.To.Name == "image-registry" {
		f.Mirrors = append(f.Mirrors, imagelist.Mirror{
			Kind: o.Kind, Object: o.Metadata.Name, Source: OwnRegistry,
			Mirrors: []string{v.Spec.Host}, NeverSource: true,
		})
	}
	return nil
}
