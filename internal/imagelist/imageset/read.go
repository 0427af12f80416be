package imageset

import (
	"fmt"
	"slices"

	"github.com/nodeseal/nodeseal/internal/imagelist/catalog"
)

// releaseRepository is where the images of OpenShift's releases are published, by version and architecture.
const releaseRepository = "quay.io/openshift-release-dev/ocp-release"

// suffix is how a release's tag says an architecture of GOARCH; "" for one that OpenShift is not made for.
func suffix(arch string) string {
	switch arch {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	case "ppc64le", "s390x", multi:
		return arch
	}
	return ""
}

// multi names the releases whose images are for all architectures.
const multi = "multi"

func platforms(list []instance) (out []string) {
	for _, p := range list {
		out = append(out, p.OS+"/"+p.Architecture)
	}
	return out
}

func (s *Set) platform(p *platform) error {
	archs := slices.Compact(slices.Sorted(slices.Values(p.Architectures)))
	for _, a := range archs {
		switch {
		case suffix(a) == "":
			s.open("platform.architectures: OpenShift has no releases for %q", a)
		case a == multi:
			s.Architectures = append(s.Architectures, "amd64", "arm64", "ppc64le", "s390x")
		default:
			s.Architectures = append(s.Architectures, a)
		}
	}
	slices.Sort(s.Architectures)
	s.Architectures = slices.Compact(s.Architectures)
	if len(archs) == 0 {
		archs = []string{"amd64"} // as oc-mirror
	}
	if len(p.Platforms) > 0 {
		s.open("platform.platforms is not read: name the releases' architectures in platform.architectures, and what to keep of lists with bundle --platform")
	}
	if p.Release != "" {
		s.Releases = append(s.Releases, Release{Ref: p.Release})
	}
	have := make(map[Release]bool, len(s.Releases))
	for _, r := range s.Releases {
		have[r] = true
	}
	for _, c := range p.Channels {
		if err := s.room(); err != nil {
			return err
		}
		if c.Full || c.Type == "okd" || c.MinVersion == "" || c.MinVersion != c.MaxVersion {
			s.open("%s", c.why())
			continue
		}
		for _, a := range archs {
			if suffix(a) == "" {
				continue
			}
			r := Release{Ref: fmt.Sprintf("%s:%s-%s", releaseRepository, c.MinVersion, suffix(a)), Version: string(c.MinVersion), Arch: a}
			if a == multi {
				r.Arch = ""
			}
			if !have[r] {
				have[r] = true
				s.Releases = append(s.Releases, r)
			}
		}
	}
	if p.Graph {
		s.Notes = append(s.Notes, "platform.graph: oc-mirror makes the image with the update graph; none is published, so the list has none. If an UpdateService of the cluster uses one, add it with --images")
	}
	return s.room()
}

// why says why a channel is left out.
func (c release) why() string {
	if c.Type == "okd" {
		return fmt.Sprintf("platform channel %s of OKD is left out: only its update graph says where a release is: name it with --release IMAGE", c.Name)
	}
	versions := "its newest version"
	switch {
	case c.Full:
		versions = "all of its versions"
	case c.MinVersion != "" || c.MaxVersion != "":
		versions = "the versions " + catalog.Range{Min: string(c.MinVersion), Max: string(c.MaxVersion)}.String()
	}
	return fmt.Sprintf("platform channel %s, %s, is left out: only the update graph says which releases those are, and it is not asked: "+
		"give each release a channel entry with its version as minVersion and maxVersion, or name it with --release IMAGE", c.Name, versions)
}

func (s *Set) operators(items []operatorItem) {
	for _, o := range items {
		op := Operator{Catalog: o.Catalog, Want: catalog.Want{Full: o.Full}}
		for _, p := range o.Packages {
			pkg := catalog.Package{Name: string(p.Name), Range: p.bounds()}
			if p.MinBundle != "" {
				s.open("operator %s: minBundle %s is not read: name a minVersion", p.Name, p.MinBundle)
			}
			for _, c := range p.Channels {
				if c.MinBundle != "" {
					s.open("operator %s: minBundle %s is not read: name a minVersion", p.Name, c.MinBundle)
				}
				pkg.Channels = append(pkg.Channels, catalog.Channel{Name: string(c.Name), Range: c.bounds()})
			}
			for _, b := range p.Bundles {
				pkg.Bundles = append(pkg.Bundles, string(b.Name))
			}
			op.Want.Packages = append(op.Want.Packages, pkg)
		}
		s.Operators = append(s.Operators, op)
	}
}

func (s *Set) helm(h *helm) {
	for _, r := range h.Repositories {
		if len(r.Charts) == 0 {
			s.open("helm repository %s (%s), all of its charts, is left out: list the images of those that you need with helm template CHART --repo %s | nodeseal list --images -", r.Name, r.URL, r.URL)
		}
		for _, c := range r.Charts {
			s.open("helm chart %s %s of %s is left out: list its images with helm template %s --repo %s --version %s | nodeseal list --images -", c.Name, c.Version, r.URL, c.Name, r.URL, c.Version)
		}
	}
	for _, c := range h.Local {
		s.Charts = append(s.Charts, Chart{Name: c.Name, Path: c.Path})
		if len(c.ImagePaths) > 0 {
			s.open("helm chart %s: imagePaths %q are not read: images are found at the places of Kubernetes objects, and by digest anywhere", c.Name, c.ImagePaths)
		}
	}
}
