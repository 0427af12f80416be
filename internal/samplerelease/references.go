package samplerelease

import (
	"encoding/json"
	"fmt"
)

// The parts of an ImageStream that image-references of a release has.
type (
	imageStream struct {
		Kind       string         `json:"kind"`
		APIVersion string         `json:"apiVersion"`
		Metadata   streamMetadata `json:"metadata"`
		Spec       streamSpec     `json:"spec"`
		Status     streamStatus   `json:"status"`
	}
	streamMetadata struct {
		Name              string            `json:"name"`
		CreationTimestamp string            `json:"creationTimestamp"`
		Annotations       map[string]string `json:"annotations"`
	}
	streamSpec struct {
		LookupPolicy struct {
			Local bool `json:"local"`
		} `json:"lookupPolicy"`
		Tags []streamTag `json:"tags"`
	}
	streamTag struct {
		Name            string            `json:"name"`
		Annotations     map[string]string `json:"annotations"`
		From            tagSource         `json:"from"`
		Generation      *int64            `json:"generation"`
		ImportPolicy    struct{}          `json:"importPolicy"`
		ReferencePolicy struct {
			Type string `json:"type"`
		} `json:"referencePolicy"`
	}
	tagSource struct {
		Kind string `json:"kind"`
		Name string `json:"name"`
	}
	streamStatus struct {
		DockerImageRepository string `json:"dockerImageRepository"`
	}
)

// imageReferences is the file of that name in a release image.
func imageReferences(images []Image, version string) ([]byte, error) {
	stream := imageStream{
		Kind:       "ImageStream",
		APIVersion: "image.openshift.io/v1",
		Metadata: streamMetadata{
			Name:              version,
			CreationTimestamp: "2023-11-14T22:13:20Z", // epoch
			Annotations: map[string]string{
				"release.openshift.io/from-image-stream": "nodeseal-demo/" + version,
				"release.openshift.io/from-release":      Prefix + "/" + ReleaseImage + ":" + version,
			},
		},
	}
	for _, img := range images {
		stream.Spec.Tags = append(stream.Spec.Tags, streamTag{
			Name: img.Name,
			Annotations: map[string]string{
				"io.openshift.build.commit.id":       img.Config.Encoded()[:40],
				"io.openshift.build.commit.ref":      "",
				"io.openshift.build.source-location": "https://github.com/nodeseal-demo/" + img.Name,
			},
			From: tagSource{Kind: "DockerImage", Name: img.Ref},
		})
	}
	data, err := json.MarshalIndent(stream, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding image-references: %w", err)
	}
	return data, nil
}

// releaseMetadata is the file of that name in a release image.
func releaseMetadata(version string) []byte {
	return []byte(`{
  "kind": "cincinnati-metadata-v0",
  "version": "` + version + `",
  "previous": [
    "4.98.7",
    "4.99.0-rc.0"
  ],
  "metadata": {
    "url": "https://example.com/errata/` + version + `"
  }
}
`)
}
