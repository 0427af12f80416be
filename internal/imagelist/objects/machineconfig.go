package objects

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"net/url"
	"path"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// maxFile bounds a file of a MachineConfig after decompression, in bytes.
const maxFile = 16 << 20

// ignition is what is read of an Ignition configuration (spec v3).
type ignition struct {
	Storage struct {
		Files []struct {
			Path     string `json:"path"`
			Contents struct {
				Source      string `json:"source"`
				Compression string `json:"compression"`
			} `json:"contents"`
		} `json:"files"`
	} `json:"storage"`
	Systemd struct {
		Units []struct {
			Name     string `json:"name"`
			Contents string `json:"contents"`
			Dropins  []struct {
				Name     string `json:"name"`
				Contents string `json:"contents"`
			} `json:"dropins"`
		} `json:"units"`
	} `json:"systemd"`
}

// machineConfig takes the OS images, the static pods and what units run with
// podman. Errors of single files do not stop the others.
func (f *Facts) machineConfig(o kubeobject.Object) error {
	var v struct {
		Spec struct {
			OSImageURL string   `json:"osImageURL"`
			Extensions string   `json:"baseOSExtensionsContainerImage"`
			Config     ignition `json:"config"`
		} `json:"spec"`
	}
	if err := o.Decode(&v); err != nil {
		return err
	}
	if v.Spec.OSImageURL != "" && !strings.HasPrefix(v.Spec.OSImageURL, "://") {
		f.add(o, v.Spec.OSImageURL, "", "osImageURL")
	}
	if v.Spec.Extensions != "" {
		f.add(o, v.Spec.Extensions, "", "baseOSExtensionsContainerImage")
	}
	var failed error
	for _, file := range v.Spec.Config.Storage.Files {
		content, err := fileContent(file.Contents.Source, file.Contents.Compression)
		if err != nil {
			failed = fmt.Errorf("%w: %s: file %s: %w", kubeobject.ErrObject, o, file.Path, err)
			continue
		}
		f.hostFile(o, file.Path, content)
	}
	for _, u := range v.Spec.Config.Systemd.Units {
		f.unit(o, "unit "+u.Name, u.Contents)
		for _, d := range u.Dropins {
			f.unit(o, "unit "+u.Name+" "+d.Name, d.Contents)
		}
	}
	return failed
}

// hostFile looks into one file of a node.
func (f *Facts) hostFile(o kubeobject.Object, name, content string) {
	dir, ext := path.Dir(name), path.Ext(name)
	switch {
	case dir == "/etc/kubernetes/manifests" || strings.HasPrefix(dir, "/etc/kubernetes/static-pod"):
		var pod kubeobject.Pod
		if err := yaml.Unmarshal([]byte(content), &pod); err == nil && len(pod.Spec.Containers) > 0 {
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

// fileContent decodes the source of an Ignition file. A source that is not a
// data URL is somewhere else, and has no content here.
func fileContent(source, compression string) (string, error) {
	rest, ok := strings.CutPrefix(source, "data:")
	if !ok {
		return "", nil
	}
	kind, data, ok := strings.Cut(rest, ",")
	if !ok {
		return "", fmt.Errorf("data URL without data")
	}
	content, err := url.PathUnescape(data)
	if err != nil {
		return "", fmt.Errorf("data URL: %w", err)
	}
	if strings.HasSuffix(kind, ";base64") {
		decoded, err := base64.StdEncoding.DecodeString(content)
		if err != nil {
			return "", fmt.Errorf("data URL: %w", err)
		}
		content = string(decoded)
	}
	if compression != "gzip" {
		return content, nil
	}
	zr, err := gzip.NewReader(strings.NewReader(content))
	if err != nil {
		return "", fmt.Errorf("decompressing: %w", err)
	}
	var plain bytes.Buffer
	n, err := io.Copy(&plain, io.LimitReader(zr, maxFile+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("decompressing: %w", err)
	case n > maxFile:
		return "", fmt.Errorf("decompressing: more than %d bytes", maxFile)
	}
	return plain.String(), nil
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
