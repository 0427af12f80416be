package neighbours

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.podman.io/image/v5/docker/reference"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// The groups of Hauler: of contents, and of collections, which it turns into contents.
const (
	haulerGroup       = "content.hauler.cattle.io/"
	haulerCollections = "collection.hauler.cattle.io/"
)

// The annotations by which a manifest of Hauler says something of all of its images.
const (
	haulerRegistry = "hauler.dev/registry"
	haulerPlatform = "hauler.dev/platform"
)

// errTemplate is wrapped by the error about a name that is filled in when a package is made.
var errTemplate = errors.New("it is a template that only zarf fills in: write the list of images (zarf dev find-images, or zarf package inspect images) to a file and name that with --images")

// Reader reads objects of one file into List.
type Reader struct {
	// Name is what the file is called in origins and errors.
	Name string
	List imagelist.List
	// Open is what the objects ask for and List lacks, with the reason.
	Open []error
}

// Read takes an object, and reports whether it is of a kind that this package knows. The error is about one that
// cannot be read.
func (r *Reader) Read(o kubeobject.Object) (bool, error) {
	switch {
	case strings.HasPrefix(o.APIVersion, haulerGroup):
		switch o.Kind {
		case "Images", "Files", "Charts":
			return true, r.hauler(o)
		}
		r.haulerOther(o)
		return true, nil
	case strings.HasPrefix(o.APIVersion, haulerCollections):
		r.haulerOther(o)
		return true, nil
	case o.Kind == "ZarfPackageConfig", o.Kind == "ZarfInitConfig":
		return true, r.zarf(o)
	}
	return false, nil
}

func (r *Reader) hauler(o kubeobject.Object) error {
	var m struct {
		Spec struct {
			Images []struct {
				Name     string `json:"name"`
				Platform string `json:"platform"`
				Local    bool   `json:"local"`
			} `json:"images"`
			Charts []struct {
				Name      string `json:"name"`
				RepoURL   string `json:"repoURL"`
				AddImages bool   `json:"add-images"`
			} `json:"charts"`
		} `json:"spec"`
	}
	if err := o.Decode(&m); err != nil {
		return fmt.Errorf("%s: %w", r.Name, err)
	}
	for _, i := range m.Spec.Images {
		name, platform := i.Name, i.Platform
		if host := o.Metadata.Annotations[haulerRegistry]; host != "" && !hasHost(name) {
			name = host + "/" + name
		}
		if platform == "" {
			platform = o.Metadata.Annotations[haulerPlatform]
		}
		if i.Local {
			r.open("image %s is left out: Hauler takes it from a program on the machine that runs it: give its file to --from-layout", name)
			continue
		}
		r.put(name, platform, o.String())
	}
	for _, c := range m.Spec.Charts {
		if c.AddImages {
			r.open("the images of chart %s (%s) are left out: list them with helm template CHART | nodeseal list --images -", c.Name, c.RepoURL)
		}
	}
	return nil
}

// haulerOther names an object whose images only Hauler finds.
func (r *Reader) haulerOther(o kubeobject.Object) {
	next := "write the names of its images to a file, one a line, and name that with --images"
	switch o.Kind {
	case "ImageTxts":
		next = "fetch the lists of images that it names, and name them with --images"
	case "ThickCharts":
		next = "list them with helm template CHART | nodeseal list --images -"
	case "K3s":
		next = "fetch k3s-images.txt of that release of K3s, and name it with --images"
	}
	r.open("the images of %s (%s) are left out: %s", o, o.APIVersion, next)
}

// image is a name, or an object with one.
type image string

// UnmarshalJSON implements json.Unmarshaler.
func (i *image) UnmarshalJSON(data []byte) error {
	if !bytes.HasPrefix(data, []byte("{")) {
		return json.Unmarshal(data, (*string)(i))
	}
	var named struct {
		Name string `json:"name"`
	}
	err := json.Unmarshal(data, &named)
	*i = image(named.Name)
	return err
}

func (r *Reader) zarf(o kubeobject.Object) error {
	var p struct {
		Metadata struct {
			Architecture string `json:"architecture"`
		} `json:"metadata"`
		Components []struct {
			Name string `json:"name"`
			Only struct {
				Cluster struct {
					Architecture string `json:"architecture"`
				} `json:"cluster"`
			} `json:"only"`
			Import struct {
				Path string `json:"path"`
				URL  string `json:"url"`
			} `json:"import"`
			Images        []image `json:"images"`
			ImageArchives []struct {
				Images []image `json:"images"`
			} `json:"imageArchives"`
		} `json:"components"`
	}
	if err := o.Decode(&p); err != nil {
		return fmt.Errorf("%s: %w", r.Name, err)
	}
	for _, c := range p.Components {
		platform := ""
		for _, arch := range []string{c.Only.Cluster.Architecture, p.Metadata.Architecture} {
			if arch != "" && arch != "multi" && platform == "" {
				platform = "linux/" + arch
			}
		}
		if from := c.Import.Path + c.Import.URL; from != "" {
			r.open("component %s takes its images from %s, too: list them with --images, of the zarf.yaml there", c.Name, from)
		}
		where := "component " + c.Name
		for _, i := range c.Images {
			r.put(string(i), platform, where)
		}
		for _, a := range c.ImageArchives {
			for _, i := range a.Images {
				r.put(string(i), platform, where)
			}
		}
	}
	return nil
}

// put adds an image, of Docker Hub if its name has no registry.
func (r *Reader) put(name, platform, where string) {
	e, err := entry(name)
	if err != nil {
		r.open("%s: image %q: %w", where, name, err)
		return
	}
	e.From = []bundle.Origin{{Source: "file", Name: r.Name + " " + where}}
	if platform != "" {
		e.Platforms = []string{platform}
	}
	r.List.Put(e)
}

func entry(name string) (imagelist.Entry, error) {
	if strings.Contains(name, "###") || strings.Contains(name, "[[") {
		return imagelist.Entry{}, errTemplate
	}
	if !hasHost(name) {
		if _, err := reference.ParseNormalizedNamed(name); err != nil {
			return imagelist.Entry{}, err
		}
		name = "docker.io/" + name
	}
	return imagelist.NewEntry(name)
}

// hasHost reports whether a name begins with a registry's.
func hasHost(name string) bool {
	host, _, ok := strings.Cut(name, "/")
	return ok && (strings.ContainsAny(host, ".:") || host == "localhost")
}

func (r *Reader) open(format string, args ...any) {
	r.Open = append(r.Open, fmt.Errorf("%s: %w", r.Name, fmt.Errorf(format, args...)))
}
