package imagelist

import (
	"strings"

	"github.com/nodeseal/nodeseal/bundle"
)

// Title names an image to people: by the component of its release, else by its repository,
// else by what there is.
func Title(ref string, from []bundle.Origin) string {
	if c := Component(from); c != "" {
		return c
	}
	name, _ := Split(ref)
	return Repository(name)
}

// Component is the name that a release gives an image that was found in from, as etcd or
// console; "" if none does. Its origins are named "VERSION COMPONENT".
func Component(from []bundle.Origin) string {
	for _, o := range from {
		if o.Source == "release" {
			_, name, _ := strings.Cut(o.Name, " ")
			return name
		}
	}
	return ""
}

// ReleaseOf is the version of the release that Component is of.
func ReleaseOf(from []bundle.Origin) string {
	for _, o := range from {
		if o.Source == "release" {
			version, _, _ := strings.Cut(o.Name, " ")
			return version
		}
	}
	return ""
}
