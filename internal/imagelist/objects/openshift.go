package objects

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/jsonbound"

	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// csv takes what an operator runs and what it will start. A copy that OLM made
// of a CSV for another namespace says nothing new.
func (f *Facts) csv(o kubeobject.Object) error {
	if o.Metadata.Labels["olm.copiedFrom"] != "" {
		return nil
	}
	var v struct {
		Spec struct {
			RelatedImages []struct {
				Name  string `json:"name"`
				Image string `json:"image"`
			} `json:"relatedImages"`
			Install struct {
				Spec struct {
					Deployments []struct {
						Name string `json:"name"`
						Spec struct {
							Template kubeobject.Template `json:"template"`
						} `json:"spec"`
					} `json:"deployments"`
				} `json:"spec"`
			} `json:"install"`
		} `json:"spec"`
	}
	if err := o.Decode(&v); err != nil {
		return err
	}
	for _, img := range v.Spec.RelatedImages {
		if img.Image != "" {
			f.add(o, img.Image, "", "relatedImages "+img.Name)
		}
	}
	for _, d := range v.Spec.Install.Spec.Deployments {
		podImages(d.Spec.Template.Spec, func(ref, container, name string) {
			f.add(o, ref, container, strings.TrimSpace("deployment "+d.Name+" "+name))
		})
	}
	seen := make(map[string]bool)
	for _, found := range f.Images {
		seen[found.Ref] = true
	}
	var rest Facts
	err := rest.everywhere(o)
	for _, found := range rest.Images {
		if !seen[found.Ref] {
			f.Images = append(f.Images, found)
		}
	}
	return err
}

func (f *Facts) catalogSource(o kubeobject.Object) error {
	var v struct {
		Spec struct {
			Image string `json:"image"`
		} `json:"spec"`
	}
	if err := o.Decode(&v); err != nil {
		return err
	}
	if v.Spec.Image != "" {
		f.add(o, v.Spec.Image, "", "spec.image")
	}
	return nil
}

func (f *Facts) clusterCatalog(o kubeobject.Object) error {
	type source struct {
		Image struct {
			Ref string `json:"ref"`
		} `json:"image"`
	}
	var v struct {
		Spec struct {
			Source source `json:"source"`
		} `json:"spec"`
		Status struct {
			Resolved source `json:"resolvedSource"`
		} `json:"status"`
	}
	if err := o.Decode(&v); err != nil {
		return err
	}
	if ref := v.Spec.Source.Image.Ref; ref != "" {
		_, d, _ := strings.Cut(v.Status.Resolved.Image.Ref, "@")
		runs := digest.Digest(d)
		if runs.Validate() != nil {
			runs = ""
		}
		f.Images = append(f.Images, Found{Ref: ref, Runs: runs, From: origin(o, "", "spec.source.image.ref")})
	}
	return nil
}

// imageStream takes the last import of each tag.
func (f *Facts) imageStream(o kubeobject.Object) error {
	var v kubeobject.ImageStream
	if err := o.Decode(&v); err != nil {
		return err
	}
	from := make(map[string]string)
	for _, t := range v.Spec.Tags {
		if t.From != nil && t.From.Kind == "DockerImage" {
			from[t.Name] = strings.TrimPrefix(t.From.Name, "docker://")
		}
	}
	for _, t := range v.Status.Tags {
		if len(t.Items) == 0 || t.Items[0].Ref == "" {
			continue
		}
		ref, d := t.Items[0].Ref, digest.Digest(t.Items[0].Image)
		if d.Validate() != nil {
			d = ""
		}
		f.Images = append(f.Images, Found{Ref: ref, Runs: d, From: origin(o, "", "tag "+t.Tag)})
		if src := from[t.Tag]; d != "" && src != "" && !strings.Contains(src, "@") {
			f.Known = append(f.Known, Known{src, d})
		}
		delete(from, t.Tag)
	}
	// What was never imported is still what a debug pod would ask for.
	for _, t := range v.Spec.Tags {
		if src := from[t.Name]; src != "" {
			f.add(o, src, "", "tag "+t.Name)
		}
	}
	return nil
}

// configMap takes release signatures, boot images, and any repo@sha256:… of
// other ConfigMaps.
func (f *Facts) configMap(o kubeobject.Object) error {
	if _, ok := o.Metadata.Labels["release.openshift.io/verification-signatures"]; ok {
		return f.signatures(o)
	}
	if o.Metadata.Name == "coreos-bootimages" && o.Metadata.Namespace == "openshift-machine-config-operator" {
		return f.bootImages(o)
	}
	return f.everywhere(o)
}

func (f *Facts) signatures(o kubeobject.Object) error {
	var v struct {
		BinaryData map[string][]byte `json:"binaryData"`
	}
	if err := o.Decode(&v); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(v.BinaryData)) {
		parts := strings.Split(key, "-")
		if len(parts) < 2 {
			continue
		}
		if d := digest.NewDigestFromEncoded(digest.Algorithm(parts[0]), parts[1]); d.Validate() == nil {
			f.Signatures = append(f.Signatures, imagelist.Signature{Digest: d, Key: key, Data: v.BinaryData[key]})
		}
	}
	return nil
}

// BootArch is the architecture of a boot image that stands in the CoreOS stream
// metadata under name, in the words of GOARCH.
func BootArch(name string) string {
	switch name {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	}
	return name
}

// BootImages calls found for each KubeVirt boot image in CoreOS stream metadata.
// Errors wrap kubeobject.ErrObject.
func BootImages(stream string, found func(arch, ref string)) error {
	var v struct {
		Architectures map[string]struct {
			Images struct {
				KubeVirt struct {
					Image  string `json:"image"`
					Digest string `json:"digest-ref"`
				} `json:"kubevirt"`
			} `json:"images"`
		} `json:"architectures"`
	}
	if err := jsonbound.Unmarshal([]byte(stream), &v); err != nil {
		return fmt.Errorf("%w: stream metadata: %w", kubeobject.ErrObject, err)
	}
	for _, name := range slices.Sorted(maps.Keys(v.Architectures)) {
		if ref := v.Architectures[name].Images.KubeVirt.Digest; ref != "" {
			found(BootArch(name), ref)
		}
	}
	return nil
}

func (f *Facts) bootImages(o kubeobject.Object) error {
	var v struct {
		Data map[string]string `json:"data"`
	}
	if err := o.Decode(&v); err != nil {
		return err
	}
	if v.Data["stream"] == "" {
		return nil
	}
	return BootImages(v.Data["stream"], func(arch, ref string) {
		f.Images = append(f.Images, Found{Ref: ref, Arch: arch, From: origin(o, "", "kubevirt "+arch)})
	})
}
