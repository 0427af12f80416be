package kubeobject

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
)

// maxContents bounds what the files of one MachineConfig have in all, in bytes: a few
// kilobytes of gzip are as many megabytes.
const maxContents = 16 << 20

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

// MachineConfig is what is read of a MachineConfig: what it puts on a node.
type MachineConfig struct {
	OSImageURL string
	// Extensions is the image with further packages.
	Extensions string
	Files      []HostFile
	Units      []HostUnit
}

// HostFile is a file of a node, decoded.
type HostFile struct {
	Path    string
	Content string
}

// HostUnit is a systemd unit, or a drop-in of one: then Name is both names, with
// a space between them.
type HostUnit struct {
	Name    string
	Content string
}

// MachineConfig returns what the object, a MachineConfig, puts on a node. Files
// that cannot be decoded are left out, and the error, which wraps ErrObject,
// names the last of them.
func (o Object) MachineConfig() (MachineConfig, error) {
	var v struct {
		Spec struct {
			OSImageURL string   `json:"osImageURL"`
			Extensions string   `json:"baseOSExtensionsContainerImage"`
			Config     ignition `json:"config"`
		} `json:"spec"`
	}
	if err := o.Decode(&v); err != nil {
		return MachineConfig{}, err
	}
	mc := MachineConfig{OSImageURL: v.Spec.OSImageURL, Extensions: v.Spec.Extensions}
	var failed error
	left := int64(maxContents)
	for _, file := range v.Spec.Config.Storage.Files {
		content, err := fileContent(file.Contents.Source, file.Contents.Compression, left)
		left -= int64(len(content))
		if err != nil {
			failed = fmt.Errorf("%w: %s: file %s: %w", ErrObject, o, file.Path, err)
			continue
		}
		mc.Files = append(mc.Files, HostFile{file.Path, content})
	}
	for _, u := range v.Spec.Config.Systemd.Units {
		if u.Contents != "" {
			mc.Units = append(mc.Units, HostUnit{u.Name, u.Contents})
		}
		for _, d := range u.Dropins {
			mc.Units = append(mc.Units, HostUnit{u.Name + " " + d.Name, d.Contents})
		}
	}
	return mc, failed
}

// fileContent decodes the source of an Ignition file. A source that is not a
// data URL is somewhere else, and has no content here. More than most bytes are refused.
func fileContent(source, compression string, most int64) (string, error) {
	rest, ok := strings.CutPrefix(source, "data:")
	if !ok {
		return "", nil
	}
	kind, data, ok := strings.Cut(rest, ",")
	if !ok {
		return "", errors.New("data URL without data")
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
	n, err := io.Copy(&plain, io.LimitReader(zr, most+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("decompressing: %w", err)
	case n > most:
		return "", fmt.Errorf("decompressing: the files have more than %d bytes in all", maxContents)
	}
	return plain.String(), nil
}
