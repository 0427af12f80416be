package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/audit/rule"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/ocp"
)

// pullAlways finds containers that ask a registry at each start, although the
// image is on the node.
func pullAlways(s *Snapshot) []Finding {
	answered := s.answered()
	var out []Finding
	for _, c := range s.Containers {
		tag := imageTag(c.Image)
		implied := c.Policy == "" && tag == "latest"
		if c.Policy != "Always" && !implied {
			continue
		}
		f := Finding{
			Rule: "pull-always", Severity: c.worst(), Object: c.String(),
			What: "imagePullPolicy is Always for " + c.Image + ".",
			Why:  "CRI-O asks a registry for the manifest at every start, also for an image that it has; with none the container does not start.",
			Mend: "Set imagePullPolicy to IfNotPresent, or let `nodeseal serve` answer for the repository.",
		}
		if implied {
			f.What = "imagePullPolicy is not set, and the tag latest of " + c.Image + " implies Always."
		}
		if ref, err := imagelist.Normalize(c.Image); err == nil && answered.covers(ref) {
			f.Severity = Note
			f.What += " The nodes' answering registry covers it."
			f.Why = "The pull needs `nodeseal serve` to run on the node before the container starts."
		}
		switch {
		case c.Owner != "":
			f.Mend += " Change it at its owner, " + c.Owner + ": it would undo a change here."
		case c.Kind != "Pod":
			f.Patch = containerPatch(c)
		}
		out = append(out, f)
	}
	return out
}

// imageVolumes finds image volumes, which CRI-O mounts from its own store alone.
func imageVolumes(s *Snapshot) []Finding {
	var out []Finding
	for _, c := range s.Containers {
		if !c.Volume {
			continue
		}
		out = append(out, Finding{
			Rule: "image-volume", Severity: c.worst(), Object: c.String(),
			What: "The volume is the image " + c.Image + ".",
			Why: "CRI-O mounts image volumes from its own store only: of an image whose layers are in a slot it says \"layer not known\", " +
				"also after a pull, and the pod does not start. OCI artifacts work from OpenShift " + ocp.FirstArtifacts() + " on.",
			Mend: "Add an init container of that image that copies the files into an emptyDir, and mount that; or copy the image with the node's skopeo (docs/node.md, Image volumes).",
		})
	}
	return out
}

// containerPatch sets the pull policy of a container of a workload.
func containerPatch(c Container) string {
	list := "containers"
	container := any([]map[string]string{{"name": c.Name, "imagePullPolicy": "IfNotPresent"}})
	switch {
	case c.Volume:
		list = "volumes"
		container = []map[string]any{{"name": c.Name, "image": map[string]string{"pullPolicy": "IfNotPresent"}}}
	case c.Initial:
		list = "initContainers"
	}
	patch := map[string]any{"template": map[string]any{"spec": map[string]any{list: container}}}
	if c.Kind == "CronJob" {
		patch = map[string]any{"jobTemplate": map[string]any{"spec": patch}}
	}
	if c.Kind == "Job" {
		return "" // a job's template cannot be changed
	}
	return rule.Patch(c.Namespace, strings.ToLower(c.Kind)+"/"+c.Object, "strategic", map[string]any{"spec": patch})
}

// imageTag is the tag that a reference asks for, "" where it asks by digest.
func imageTag(image string) string {
	name, d := imagelist.Split(image)
	if d != "" {
		return ""
	}
	if repo := imagelist.Repository(name); repo != name {
		return name[len(repo)+1:]
	}
	return "latest"
}

// byTag finds references by tag that what is held does not name.
func byTag(s *Snapshot) []Finding {
	var out []Finding
	resolved := s.resolved()
	for _, c := range s.Containers {
		if imageTag(c.Image) == "" {
			continue
		}
		f := Finding{
			Rule: "by-tag", Severity: Warning, Object: c.String(),
			What: "The image is named by its tag: " + c.Image + ".",
			Why:  "A tag is found on a node only under that very name, and each node keeps what the tag meant when it pulled.",
			Mend: "Name it by digest.",
		}
		ref, err := imagelist.Normalize(c.Image)
		if s.Held != nil {
			if err == nil && s.Held.has(ref) {
				continue
			}
			f.Severity = c.worst()
			f.What += " " + capital(s.Held.Name) + " does not hold that name."
			f.Mend = "Name it by digest, or add the tag to the list and make a new bundle."
		}
		if err == nil {
			if is := resolved[ref]; is != "" {
				f.Mend += " It runs as " + is + "."
			}
		}
		out = append(out, f)
	}
	return out
}

// resolved returns what tags were resolved to.
func (s *Snapshot) resolved() map[string]string {
	out := make(map[string]string)
	for _, e := range s.Images.List.Entries() {
		for _, name := range e.Names {
			if out[name] == "" {
				out[name] = e.Ref
			}
		}
	}
	return out
}

// missingImages finds what the cluster needs and nothing held has.
func missingImages(s *Snapshot) []Finding {
	if s.Held == nil {
		return nil
	}
	var out []Finding
	for _, e := range s.Images.List.Entries() {
		if s.Held.has(e.Ref) || (e.Digest != "" && s.Held.digests[e.Digest]) {
			continue
		}
		f := Finding{
			Rule: "missing-image", Severity: Warning, Object: e.Ref,
			What: capital(s.Held.Name) + " does not hold it. " + places(e.From),
		}
		f.Why, f.Mend = missing(e.Role, e.From)
		if starts(e.From) {
			f.Severity = Breaks
		}
		if roles := s.roles(e.From); roles != "" {
			f.What += " Nodes that need it: " + roles + "."
		}
		out = append(out, f)
	}
	return out
}

// missingInstances finds lists of images that are held for other architectures
// than the nodes have.
func missingInstances(s *Snapshot) []Finding {
	if s.Held == nil {
		return nil
	}
	var out []Finding
	for _, e := range s.Images.List.Entries() {
		lacks := s.Held.lacks(e.Ref, e.Platforms)
		if len(lacks) == 0 {
			continue
		}
		out = append(out, Finding{
			Rule: "missing-architecture", Severity: Warning, Object: e.Ref,
			What: capital(s.Held.Name) + " does not hold it for " + strings.Join(lacks, ", ") + ", which nodes have.",
			Why:  "A pod that is scheduled to such a node cannot start there.",
			Mend: "Make the bundle with --platform for each architecture of the nodes; where the image exists for one only, bind its pods to nodes of that one.",
		})
	}
	return out
}

// starts reports whether something that starts by itself names the image.
func starts(from []bundle.Origin) bool {
	return slices.ContainsFunc(from, func(o bundle.Origin) bool {
		switch o.Kind {
		case "Pod", "DaemonSet", "Deployment", "StatefulSet", "ReplicationController", "DeploymentConfig", "MachineConfig":
			return true
		}
		return false
	})
}

// roles names the roles of the nodes that need an image: all, unless only the
// MachineConfigs of some pools name it.
func (s *Snapshot) roles(from []bundle.Origin) string {
	var roles []string
	for _, o := range from {
		if o.Kind != "MachineConfig" {
			return "all"
		}
		for _, c := range s.Configs {
			if c.Name == o.Object && c.Role != "" && !slices.Contains(roles, c.Role) {
				roles = append(roles, c.Role)
			}
		}
	}
	slices.Sort(roles)
	return strings.Join(roles, ", ")
}

// places says where an image was found, the first places by name.
func places(from []bundle.Origin) string {
	const most = 3
	var names []string
	for _, o := range from[:min(most, len(from))] {
		names = append(names, strings.TrimSpace(strings.ReplaceAll(o.Kind+" "+o.Namespace+"/"+o.Object, " /", " ")+" "+o.Container))
	}
	text := "Named by " + strings.Join(names, "; ")
	if len(from) > most {
		text += fmt.Sprintf("; and %d more", len(from)-most)
	}
	return text + "."
}

// capital is text with its first letter in upper case.
func capital(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
