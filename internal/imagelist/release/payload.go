package release

import (
	"regexp"
	"slices"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
)

// Payload is all that a release asks for.
type Payload struct {
	// Image is the release image, host/repository@digest; "" where the payload
	// was read from files.
	Image string
	// Tag is the reference by tag that led to Image, where it was one.
	Tag        string
	Version    string
	Components []Component
	// BootImages are the KubeVirt boot images: they are not among the components.
	BootImages []BootImage
}

// BootImage is an image for one architecture, in the words of GOARCH.
type BootImage struct {
	Arch string
	Ref  string
}

// Release names the payload as an inventory does.
func (p *Payload) Release() bundle.Release {
	return bundle.Release{Version: p.Version, Image: p.Image}
}

// osTags matches the names of the operating system's images in payloads: rhel-coreos,
// rhel-coreos-8, rhel-coreos-10, and those of OKD. Extensions are containers.
var osTags = regexp.MustCompile(`^(rhel|stream|centos-stream|fedora)-coreos(-[0-9.]+)?$`)

// IsOS reports whether the component is the image of an operating system.
func (c Component) IsOS() bool { return osTags.MatchString(c.Name) }

// role is the component's in a list.
func (c Component) role() string {
	if c.IsOS() {
		return bundle.RoleOS
	}
	return ""
}

// AddTo puts the payload into l: the release image, its components and the boot
// images of the architectures (of all, where architectures is empty).
func (p *Payload) AddTo(l *imagelist.List, architectures []string) {
	origin := func(name string) []bundle.Origin {
		return []bundle.Origin{{Source: "release", Name: p.Version + " " + name}}
	}
	if p.Image != "" {
		e := imagelist.Entry{Ref: p.Image, From: origin("release image")}
		if p.Tag != "" {
			e.Names = []string{p.Tag}
		}
		l.Put(e)
	}
	for _, c := range p.Components {
		l.Put(imagelist.Entry{Ref: c.Ref, Role: c.role(), From: origin(c.Name)})
	}
	for _, b := range p.BootImages {
		if len(architectures) == 0 || slices.Contains(architectures, b.Arch) {
			l.Put(imagelist.Entry{Ref: b.Ref, From: origin("kubevirt boot image " + b.Arch)})
		}
	}
}
