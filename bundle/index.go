package bundle

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// What stands before and behind the entries of an index.json, as layout.MarshalIndex writes it.
const (
	indexHead = "{\n \"schemaVersion\": 2,\n \"mediaType\": \"" + v1.MediaTypeImageIndex + "\",\n \"manifests\": ["
	indexTail = "\n ]\n}\n"
	// indexIndent is the indentation of an entry.
	indexIndent = "  "
)

// WriteIndex writes the index.json of a bundle, Index, to w. It holds one entry in memory at a
// time. The errors are those of w.
func (inv *Inventory) WriteIndex(w io.Writer) error {
	out := bufio.NewWriter(w)
	_, _ = out.WriteString(indexHead) // Flush returns the first error
	comma, tail := "", indexTail[len("\n "):]
	err := inv.eachEntry(func(entry v1.Descriptor) error {
		data, err := json.MarshalIndent(entry, indexIndent, " ")
		if err != nil {
			return fmt.Errorf("index of the bundle: %w", err)
		}
		_, _ = out.WriteString(comma + "\n" + indexIndent)
		comma, tail = ",", indexTail
		_, err = out.Write(data)
		return err
	})
	if err != nil {
		return err
	}
	_, _ = out.WriteString(tail)
	return out.Flush()
}

// Index returns the index.json of a bundle: an entry for each reference and
// each further name of its images, in the inventory's order.
func (inv *Inventory) Index() (v1.Index, error) {
	var index v1.Index
	err := inv.eachEntry(func(entry v1.Descriptor) error {
		index.Manifests = append(index.Manifests, entry)
		return nil
	})
	return index, err
}

// eachEntry calls each for the entries of Index in their order, until its first error.
func (inv *Inventory) eachEntry(each func(v1.Descriptor) error) error {
	sizes := make(map[digest.Digest]int64, len(inv.Images))
	for i := range inv.Images {
		sizes[inv.Images[i].Digest] = 0
	}
	for _, b := range inv.Blobs {
		if _, ok := sizes[b.Digest]; ok {
			sizes[b.Digest] = b.Size
		}
	}
	for i := range inv.Images {
		entry, err := inv.indexEntry(&inv.Images[i], sizes)
		if err != nil {
			return err
		}
		for n := range len(inv.Images[i].Names) + 1 {
			named := entry
			named.Annotations = maps.Clone(entry.Annotations)
			named.Annotations[v1.AnnotationRefName] = inv.Images[i].Ref
			if n > 0 {
				named.Annotations[v1.AnnotationRefName] = inv.Images[i].Names[n-1]
			}
			if err := each(named); err != nil {
				return err
			}
		}
	}
	return nil
}

// indexEntry is the entry of img but for its name.
func (inv *Inventory) indexEntry(img *Image, sizes map[digest.Digest]int64) (v1.Descriptor, error) {
	entry := v1.Descriptor{
		MediaType: img.MediaType, Digest: img.Digest, Size: sizes[img.Digest], Platform: img.Platform,
		Annotations: make(map[string]string, 2),
	}
	if inv.HasReadable(img) {
		readable, err := img.Readable()
		if err != nil {
			return v1.Descriptor{}, err
		}
		entry.MediaType, entry.Digest, entry.Size = v1.MediaTypeImageManifest, digest.FromBytes(readable), int64(len(readable))
		entry.Annotations[AnnotationDigest] = img.Digest.String()
	}
	return entry, nil
}

// IndexBytes returns index.json.
func (inv *Inventory) IndexBytes() ([]byte, error) {
	var out bytes.Buffer
	if err := inv.WriteIndex(&out); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
