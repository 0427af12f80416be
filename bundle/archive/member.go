package archive

import (
	"archive/tar"
	"bytes"
	"fmt"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/layout"
)

// The names of the members that are not blobs.
const (
	memberInventory = "inventory.json"
	memberLayout    = v1.ImageLayoutFile
	memberIndex     = v1.ImageIndexFile
)

const tarBlock = 512

// tarTrailer is the length of the two zero blocks that end a tar.
const tarTrailer = 2 * tarBlock

// maxUstarSize is the largest size that a ustar header holds in its octal field.
const maxUstarSize = 1<<33 - 1

// memberHeader returns the tar header of a bundle's member, which its name and
// size determine alone: mode 0444, owner 0:0, time 0, no names, ustar; a pax
// record only where the size needs one.
func memberHeader(name string, size int64) ([]byte, error) {
	var buf bytes.Buffer
	format := tar.FormatUSTAR
	if size > maxUstarSize {
		format = tar.FormatPAX
	}
	w := tar.NewWriter(&buf)
	if err := w.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o444, Format: format,
	}); err != nil {
		return nil, fmt.Errorf("tar header of %s: %w", name, err)
	}
	return buf.Bytes(), nil
}

// headerLen is the length of memberHeader's result.
func headerLen(size int64) int64 {
	if size > maxUstarSize {
		return 3 * tarBlock // pax header, its record, the header proper
	}
	return tarBlock
}

// padding is the number of zero bytes behind size bytes of content.
func padding(size int64) int64 { return -size & (tarBlock - 1) }

// memberLen is how far a member of size bytes reaches in the tar.
func memberLen(size int64) int64 { return headerLen(size) + size + padding(size) }

// member is one file of the bundle's tar.
type member struct {
	name string
	blob digest.Digest // empty where it is no blob
	sum  digest.Digest // of the content
	off  int64         // of the header, in the tar
	size int64         // of the content
}

func (m member) content() int64 { return m.off + headerLen(m.size) }

func (m member) end() int64 { return m.off + memberLen(m.size) }

// blobMembers places the blobs of an inventory in the tar, from off on.
func blobMembers(blobs []bundle.Blob, off int64) []member {
	members := make([]member, len(blobs))
	for i, b := range blobs {
		members[i] = member{name: layout.BlobPath(b.Digest), blob: b.Digest, sum: b.Digest, off: off, size: b.Size}
		off = members[i].end()
	}
	return members
}
