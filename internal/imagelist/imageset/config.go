package imageset

import (
	"encoding/json"
	"fmt"

	"github.com/nodeseal/nodeseal/internal/imagelist/catalog"
)

// word is a name or a version. Some look like numbers, and the number 4.10 is 4.1: as oc-mirror, nothing but text is taken.
type word string

// UnmarshalJSON implements json.Unmarshaler.
func (w *word) UnmarshalJSON(data []byte) error {
	var n json.Number
	if err := json.Unmarshal(data, &n); err == nil && data[0] != '"' {
		return fmt.Errorf("the number %s stands where text is wanted: write it in quotes, because the number 4.10 is 4.1", n)
	}
	return json.Unmarshal(data, (*string)(w))
}

// config is the file, in both versions.
type config struct {
	APIVersion    string          `json:"apiVersion"`
	Kind          string          `json:"kind"`
	Metadata      json.RawMessage `json:"metadata"`
	ArchiveSize   json.RawMessage `json:"archiveSize"`
	StorageConfig json.RawMessage `json:"storageConfig"` // v1alpha2: where oc-mirror keeps what it knows
	Mirror        struct {
		Platform         platform       `json:"platform"`
		Operators        []operatorItem `json:"operators"`
		AdditionalImages []imageItem    `json:"additionalImages"`
		Helm             helm           `json:"helm"`
		BlockedImages    []imageItem    `json:"blockedImages"`
		Samples          []imageItem    `json:"samples"`
	} `json:"mirror"`
}

type instance struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
}

type platform struct {
	Graph             bool       `json:"graph"`
	Channels          []release  `json:"channels"`
	Architectures     []string   `json:"architectures"`
	Platforms         []instance `json:"platforms"`
	Release           string     `json:"release"`
	KubeVirtContainer bool       `json:"kubeVirtContainer"`
}

type release struct {
	Name         word   `json:"name"`
	Type         string `json:"type"`
	MinVersion   word   `json:"minVersion"`
	MaxVersion   word   `json:"maxVersion"`
	ShortestPath bool   `json:"shortestPath"`
	Full         bool   `json:"full"`
}

// versions are those that bound a channel or a package.
type versions struct {
	MinVersion word `json:"minVersion"`
	MaxVersion word `json:"maxVersion"`
}

func (v versions) bounds() catalog.Range {
	return catalog.Range{Min: string(v.MinVersion), Max: string(v.MaxVersion)}
}

type operatorItem struct {
	Catalog  string        `json:"catalog"`
	Full     bool          `json:"full"`
	Packages []packageItem `json:"packages"`
	// What follows says how the mirror's catalog is called or made.
	TargetName                  string     `json:"targetName"`
	TargetCatalog               string     `json:"targetCatalog"`
	TargetTag                   word       `json:"targetTag"`
	TargetCatalogSourceTemplate string     `json:"targetCatalogSourceTemplate"`
	OriginalRef                 string     `json:"originalRef"`
	SkipDependencies            bool       `json:"skipDependencies"`
	Platforms                   []instance `json:"platforms"`
}

type packageItem struct {
	Name           word          `json:"name"`
	DefaultChannel word          `json:"defaultChannel"`
	Channels       []channelItem `json:"channels"`
	Bundles        []channelItem `json:"bundles"`
	MinBundle      string        `json:"minBundle"`
	versions
}

type channelItem struct {
	Name      word   `json:"name"`
	MinBundle string `json:"minBundle"`
	versions
}

type imageItem struct {
	Name       word       `json:"name"`
	TargetRepo string     `json:"targetRepo"`
	TargetTag  word       `json:"targetTag"`
	Platforms  []instance `json:"platforms"`
}

type helm struct {
	Repositories []struct {
		Name   string  `json:"name"`
		URL    string  `json:"url"`
		Charts []chart `json:"charts"`
	} `json:"repositories"`
	Local []chart `json:"local"`
}

type chart struct {
	Name       string     `json:"name"`
	Version    word       `json:"version"`
	Path       string     `json:"path"`
	ImagePaths []string   `json:"imagePaths"`
	Platforms  []instance `json:"platforms"`
}
