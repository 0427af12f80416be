package imagelist

import "github.com/opencontainers/go-digest"

// Mirror says where the bytes of a repository, or of all below it, may be.
type Mirror struct {
	// Kind is the object's: ImageDigestMirrorSet, ImageTagMirrorSet,
	// ImageContentSourcePolicy, or Route for the cluster's own registry.
	Kind string `json:"kind"`
	// Object is the object's name.
	Object string `json:"object"`
	// Source is host[/path], as references begin with it.
	Source string `json:"source"`
	// Mirrors are host[/path], to be asked in this order.
	Mirrors []string `json:"mirrors"`
	// NeverSource says that the source itself is not asked.
	NeverSource bool `json:"neverSource,omitempty"`
}

// Signature is a release's signature, as the cluster keeps it.
type Signature struct {
	// Digest is the release image's.
	Digest digest.Digest `json:"digest"`
	// Key is the key in the ConfigMap: sha256-<hex>-<n>.
	Key  string `json:"key"`
	Data []byte `json:"data"`
}
