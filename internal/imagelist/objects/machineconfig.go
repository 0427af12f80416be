package objects

import (
	"path"
	"regexp"
	"strings"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// machineConfig takes the OS images, the static pods and what units run with
// podman. Errors of single files do not stop the others.
func (f *Facts) machineConfig(o kubeobject.Object) error {
	mc, err := o.MachineConfig()
	if mc.OSImageURL != "" && !strings.HasPrefix(mc.OSImageURL, "://") {
		f.Images = append(f.Images, Found{Ref: mc.OSImageURL, Role: bundle.RoleOS, From: origin(o, "", "osImageURL")})
	}
	if mc.Extensions != "" {
		f.add(o, mc.Extensions, "", "baseOSExtensionsContainerImage")
	}
	for _, file := range mc.Files {
		f.hostFile(o, file.Path, file.Content)
	}
	for _, u := range mc.Units {
		f.unit(o, "unit "+u.Name, u.Content)
	}
	return err
}

// osFields are the fields of MachineOSConfig and MachineOSBuild, in all of their versions, and
// the annotations of Nodes, that name an operating system's image.
var osFields = regexp.MustCompile(`^annotation machineconfiguration\.openshift\.io/(current|desired)Image$|\.(currentImagePull[sS]pec|digestedImagePush[sS]pec|finalImagePull[sS]pec|baseOSImagePull[sS]pec)$`)

// machineOS takes the images of layered operating systems, and what else such an object
// names.
func (f *Facts) machineOS(o kubeobject.Object) error {
	defer f.markOS(len(f.Images))
	return f.everywhere(o)
}

// markOS gives the operating systems among the images from the n-th on their role.
func (f *Facts) markOS(n int) {
	for i := n; i < len(f.Images); i++ {
		if osFields.MatchString(f.Images[i].From.Name) {
			f.Images[i].Role = bundle.RoleOS
		}
	}
}

// hostFile looks into one file of a node.
func (f *Facts) hostFile(o kubeobject.Object, name, content string) {
	dir, ext := path.Dir(name), path.Ext(name)
	switch {
	case dir == "/etc/kubernetes/manifests" || strings.HasPrefix(dir, "/etc/kubernetes/static-pod"):
		var pod kubeobject.Pod
		if err := kubeobject.UnmarshalYAML(content, &pod); err == nil && len(pod.Spec.Containers) > 0 {
			podImages(pod.Spec, func(ref, container, where string) {
				f.add(o, ref, container, strings.TrimSpace("file "+name+" "+where))
			})
			return
		}
	case ext == ".service" || ext == ".container" || strings.HasPrefix(dir, "/etc/containers/systemd"):
		f.unit(o, "file "+name, content)
		return
	}
	Scan(content, func(ref string) { f.add(o, ref, "", "file "+name) })
}

// unit takes the images of a systemd unit or quadlet: by digest anywhere, by tag
// as a word of a line with podman, or as a quadlet's Image=.
func (f *Facts) unit(o kubeobject.Object, name, content string) {
	Scan(content, func(ref string) { f.add(o, ref, "", name) })
	text := strings.ReplaceAll(content, "\\\n", " ")
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		image, isImage := strings.CutPrefix(line, "Image=")
		switch {
		case strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";"):
		case isImage && isTagged(image):
			f.add(o, image, "", name)
		case strings.Contains(line, "podman"):
			for _, word := range strings.Fields(line) {
				if word = strings.Trim(word, `"'`); isTagged(word) {
					f.add(o, word, "", name)
				}
			}
		}
	}
}

// machineConfigPool takes the names of the rendered configurations in use.
func (f *Facts) machineConfigPool(o kubeobject.Object) error {
	type configuration struct {
		Configuration struct {
			Name string `json:"name"`
		} `json:"configuration"`
	}
	var v struct {
		Spec   configuration `json:"spec"`
		Status configuration `json:"status"`
	}
	if err := o.Decode(&v); err != nil {
		return err
	}
	for _, c := range []configuration{v.Spec, v.Status} {
		if c.Configuration.Name != "" {
			f.Configs = append(f.Configs, c.Configuration.Name)
		}
	}
	return nil
}
