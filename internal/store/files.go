package store

import (
	"encoding/json"
	"fmt"
	"iter"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
)

// The folders of a store.
const (
	OverlayDir = "overlay"
	LinkDir    = "overlay/l"
	LayersDir  = "overlay-layers"
	ImagesDir  = "overlay-images"
	// OwnDir holds what is nodeseal's own: the bundle's inventory, what each
	// name names, attachments.
	OwnDir = "nodeseal"
)

// The files of OwnDir.
const (
	InventoryFile   = OwnDir + "/inventory.json"
	referencesFile  = OwnDir + "/references.json"
	attachmentsDir  = OwnDir + "/blobs/sha256"
	layersFile      = LayersDir + "/layers.json"
	layersLockFile  = LayersDir + "/layers.lock"
	imagesFile      = ImagesDir + "/images.json"
	imagesLockFile  = ImagesDir + "/images.lock"
	tarSplitSuffix  = ".tar-split.gz"
	lowerSeparator  = ":"
	metadataPrivate = 0o600
	metadataPublic  = 0o644
)

// Reference is one name of a store and what it names. An image record alone
// cannot say which of its manifests a tag means.
type Reference struct {
	Name string `json:"name"`
	// Digest is that of the manifest, or of the manifest list, that the name is of.
	Digest digest.Digest `json:"digest"`
	// ImageID is the ID of the image record: the digest of its configuration, in hex.
	ImageID string `json:"image"`
}

// File is one file of a store outside of the layers' contents. At most one of
// Content, Blob, Link and Dir is set.
type File struct {
	// Path is slash-separated, below the store.
	Path string
	Mode uint32
	// Content is what the file holds.
	Content []byte
	// Blob is the small blob of the Source that the file holds.
	Blob digest.Digest
	// Link is the target of a symbolic link.
	Link string
	// Dir makes it an empty directory.
	Dir bool
}

// DiffDir returns the folder of a layer's contents, below the store.
func DiffDir(layerID string) string { return path.Join(OverlayDir, layerID, "diff") }

// DataFile returns the file with a data item of the image, below the store.
func (img *Image) DataFile(item BigData) string {
	return path.Join(ImagesDir, img.ID, bigDataFile(item.Key))
}

// TarSplitFile returns the file with a layer's tar-split, below the store.
func TarSplitFile(layerID string) string { return path.Join(LayersDir, layerID+tarSplitSuffix) }

// Files returns all files of the store but the layers' contents and tar-splits,
// in an order that depends only on the plan. They are made as they are asked for: the
// files of a layer name all layers below it. facts are by diff ID; inventory is
// what RawInventory returns.
func (p *Plan) Files(facts map[digest.Digest]Facts, inventory []byte) (iter.Seq[File], error) {
	layers, err := p.LayerRecords(facts)
	if err != nil {
		return nil, err
	}
	images, err := p.ImageRecords()
	if err != nil {
		return nil, err
	}
	references, err := json.MarshalIndent(p.References, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encoding references: %w", err)
	}
	if err := readable(references); err != nil {
		return nil, err
	}
	records := []File{
		{Path: layersFile, Mode: metadataPrivate, Content: layers},
		{Path: layersLockFile, Mode: metadataPublic, Content: lockContent(layers)},
		{Path: imagesFile, Mode: metadataPrivate, Content: images},
		{Path: imagesLockFile, Mode: metadataPublic, Content: lockContent(images)},
		{Path: InventoryFile, Mode: metadataPublic, Content: inventory},
		{Path: referencesFile, Mode: metadataPublic, Content: append(references, '\n')},
	}
	artifacts, err := p.artifactFiles()
	if err != nil {
		return nil, err
	}
	records = append(records, artifacts...)
	return func(yield func(File) bool) {
		for _, f := range records {
			if !yield(f) {
				return
			}
		}
		p.eachFile(yield)
	}, nil
}

// eachFile calls yield with the files of layers, images and attachments, until it is false.
func (p *Plan) eachFile(yield func(File) bool) {
	for _, l := range p.Layers {
		for _, f := range l.files() {
			if !yield(f) {
				return
			}
		}
	}
	for _, img := range p.Images {
		for _, item := range img.Data {
			f := File{Path: img.DataFile(item), Mode: metadataPrivate, Content: item.Content}
			if f.Content == nil {
				f.Blob = item.Digest
			}
			if !yield(f) {
				return
			}
		}
	}
	for _, d := range p.Attachments {
		if !yield(File{Path: path.Join(attachmentsDir, d.Encoded()), Mode: metadataPublic, Blob: d}) {
			return
		}
	}
}

// files returns the small files in the folder of a layer, and its short name.
func (l *Layer) files() []File {
	dir := path.Join(OverlayDir, l.ID)
	link := linkName(l.ID)
	files := []File{
		{Path: path.Join(LinkDir, link), Link: path.Join("..", l.ID, "diff")},
		{Path: path.Join(dir, "link"), Mode: metadataPublic, Content: []byte(link)},
	}
	if l.Parent == nil {
		// What the library mounts below a layer that has none below it, where an
		// image of one layer is mounted as a volume.
		return append(files, File{Path: path.Join(dir, "empty"), Mode: 0o700, Dir: true})
	}
	var links, ids []string
	for below := l.Parent; below != nil; below = below.Parent {
		links = append(links, path.Join("l", linkName(below.ID)))
		ids = append(ids, below.ID)
	}
	return append(files,
		File{Path: path.Join(dir, "lower"), Mode: metadataPublic, Content: []byte(strings.Join(links, lowerSeparator))},
		File{Path: path.Join(dir, "lower-layers"), Mode: metadataPublic, Content: []byte(strings.Join(ids, lowerSeparator))},
	)
}
