package objects

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// lastApplied repeats the object.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// annotations scans the values of annotations.
func (f *Facts) annotations(o kubeobject.Object, values map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if key != lastApplied && key != mustGather {
			Scan(values[key], func(ref string) { f.add(o, ref, "", "annotation "+key) })
		}
	}
}

// podImages calls found for each image that the specification refers to: those of
// containers and image volumes, of RELATED_IMAGE_* variables, and any
// repo@sha256:… in variables, commands and arguments.
func podImages(s kubeobject.PodSpec, found func(ref, container, name string)) {
	for _, c := range s.All() {
		if ref := strings.TrimSpace(c.Image); ref != "" {
			found(ref, c.Name, "")
		}
		for _, e := range c.Env {
			if v := strings.TrimSpace(e.Value); strings.HasPrefix(e.Name, "RELATED_IMAGE_") && v != "" && !strings.ContainsAny(v, " \t\n{[") {
				found(v, c.Name, "env "+e.Name)
				continue
			}
			Scan(e.Value, func(ref string) { found(ref, c.Name, "env "+e.Name) })
		}
		for _, word := range c.Command {
			Scan(word, func(ref string) { found(ref, c.Name, "command") })
		}
		for _, word := range c.Args {
			Scan(word, func(ref string) { found(ref, c.Name, "args") })
		}
	}
	for _, v := range s.Volumes {
		if v.Image != nil && v.Image.Reference != "" {
			found(v.Image.Reference, "", "volume "+v.Name)
		}
	}
}

// everywhere scans every string of an object whose shape is not known, and
// names each by its path.
func (f *Facts) everywhere(o kubeobject.Object) error {
	if !strings.Contains(string(o.Raw), digestMark) {
		return nil
	}
	var tree map[string]any
	if err := o.Decode(&tree); err != nil {
		return err
	}
	if meta, ok := tree["metadata"].(map[string]any); ok {
		for key := range meta {
			if key != "annotations" {
				delete(meta, key)
			}
		}
		if annotations, ok := meta["annotations"].(map[string]any); ok {
			delete(annotations, lastApplied)
			delete(annotations, mustGather)
		}
	}
	walk(tree, nil, func(path []string, text string) {
		Scan(text, func(ref string) { f.add(o, ref, "", strings.Join(path, "")) })
	})
	return nil
}

// walk calls visit for each string below value, with its path in jq's words;
// keys in order.
func walk(value any, path []string, visit func(path []string, text string)) {
	switch v := value.(type) {
	case string:
		visit(path, v)
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			walk(v[key], append(path, "."+key), visit)
		}
	case []any:
		for i, item := range v {
			walk(item, append(path, "["+strconv.Itoa(i)+"]"), visit)
		}
	}
}
