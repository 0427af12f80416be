package report

import (
	"path"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"sigs.k8s.io/yaml"
)

// namesOf returns the hosts and registries that a file of configuration names at places that only its structure tells.
// What is not such a file, or cannot be read, names none here.
func namesOf(member, text string) (names []string) {
	var tree map[string]any
	add := func(name string) {
		name, _, _ = strings.Cut(strings.TrimPrefix(name, "*."), "/")
		name, _, _ = strings.Cut(name, ":")
		names = append(names, name)
	}
	switch base := path.Base(member); {
	case strings.Contains(member, "/registries.d/"):
		if yaml.Unmarshal([]byte(text), &tree) == nil {
			for scope := range children(tree["docker"]) {
				add(scope)
			}
		}
	case base == "policy.json":
		if yaml.Unmarshal([]byte(text), &tree) == nil {
			for name, transport := range children(tree["transports"]) {
				for scope := range children(transport) {
					if name == "docker" || name == "atomic" {
						add(scope)
					}
				}
			}
			walk(tree, false, func(key string) bool {
				return slices.Contains([]string{"dockerReference", "dockerRepository", "prefix", "signedPrefix"}, key)
			}, add)
		}
	case strings.Contains(member, "/containers/registries.conf"), strings.Contains(member, "/crio/"):
		if toml.Unmarshal([]byte(text), &tree) == nil {
			walk(tree, false, func(key string) bool {
				return key == "location" || key == "prefix" || key == "aliases" || key == "pause_image" || key == "unqualified-search-registries" || strings.Contains(key, "registries") && !strings.Contains(key, "dir")
			}, add)
		}
	}
	return names
}

// children are the members of an object, none of anything else.
func children(value any) map[string]any {
	object, _ := value.(map[string]any)
	return object
}

// walk calls add with all texts below keys that are meant.
func walk(value any, meant bool, means func(key string) bool, add func(string)) {
	switch v := value.(type) {
	case string:
		if meant && !strings.HasPrefix(v, "/") {
			add(v)
		}
	case map[string]any:
		for key, below := range v {
			walk(below, meant || means(key), means, add)
		}
	case []any:
		for _, below := range v {
			walk(below, meant, means, add)
		}
	case []map[string]any:
		for _, below := range v {
			walk(below, meant, means, add)
		}
	}
}
