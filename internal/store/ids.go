package store

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"

	"github.com/opencontainers/go-digest"
	"go.podman.io/storage"
)

// MaxDepth is the number of layers that an image may have: overlay stacks no
// more than 500 lower directories (OVL_MAX_STACK in the kernel, maxDepth in the
// library), and a container has all of its image's layers as lower ones.
const MaxDepth = 500

// linkLength is the length of a layer's short name, as the library has it.
const linkLength = 26

// LayerID returns the ID of the layer with the contents diffID on top of the
// layer parent ("" for a base layer). It is not the chain ID of the OCI
// specification.
func LayerID(parent string, diffID digest.Digest) string {
	if parent == "" {
		return diffID.Encoded()
	}
	return digest.FromString(parent + "+" + diffID.Encoded()).Encoded()
}

// linkName returns the short name of a layer below overlay/l. The library draws
// it by lot; here it follows from the layer's ID.
func linkName(layerID string) string {
	sum := sha256.Sum256([]byte("nodeseal link " + layerID))
	return base32.StdEncoding.EncodeToString(sum[:])[:linkLength]
}

// lockContent returns what the lock file beside content holds: 64 bytes, as
// the library writes, that differ wherever content differs. Readers load the
// content anew when these bytes have changed.
func lockContent(content []byte) []byte {
	sum := sha256.Sum256(content)
	return []byte(hex.EncodeToString(sum[:]))
}

// manifestKey is the big data key of the manifest or index with digest d.
func manifestKey(d digest.Digest) string {
	return storage.ImageDigestManifestBigDataNamePrefix + "-" + d.String()
}

// bigDataFile returns the name of the file that holds the big data key.
func bigDataFile(key string) string {
	for i := range len(key) {
		c := key[i]
		if c != '.' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return "=" + base64.StdEncoding.EncodeToString([]byte(key))
		}
	}
	return key
}
