//go:build e2e

package harness

import (
	"encoding/json"
	"path/filepath"
	"testing"
)

// Layer is the record of a layer in a store, without times.
type Layer struct {
	ID             string   `json:"id"`
	Names          []string `json:"names"`
	Parent         string   `json:"parent"`
	Diff           string   `json:"diff-digest"`
	DiffSize       int64    `json:"diff-size"`
	Compressed     string   `json:"compressed-diff-digest"`
	CompressedSize int64    `json:"compressed-size"`
	Compression    int      `json:"compression"`
	UIDs           []uint32 `json:"uidset"`
	GIDs           []uint32 `json:"gidset"`
	MountLabel     string   `json:"mountlabel"`
}

// Image is the record of an image in a store, without times.
type Image struct {
	ID             string            `json:"id"`
	Digest         string            `json:"digest"`
	Names          []string          `json:"names"`
	Layer          string            `json:"layer"`
	BigData        []string          `json:"big-data-names"`
	BigDataSizes   map[string]int64  `json:"big-data-sizes"`
	BigDataDigests map[string]string `json:"big-data-digests"`
}

// Layers reads the records of the layers of the store in dir, by ID.
func Layers(t testing.TB, dir string) map[string]Layer {
	t.Helper()
	layers := make(map[string]Layer)
	for _, l := range readRecords[Layer](t, filepath.Join(dir, "overlay-layers/layers.json")) {
		layers[l.ID] = l
	}
	return layers
}

// Images reads the records of the images of the store in dir, by ID.
func Images(t testing.TB, dir string) map[string]Image {
	t.Helper()
	images := make(map[string]Image)
	for _, img := range readRecords[Image](t, filepath.Join(dir, "overlay-images/images.json")) {
		images[img.ID] = img
	}
	return images
}

func readRecords[T any](t testing.TB, path string) []T {
	t.Helper()
	var records []T
	if err := json.Unmarshal(ReadFile(t, path), &records); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return records
}
