package manifest

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
)

const (
	// signatureNamespace and signatureLabel are where the cluster version operator
	// looks for signatures, beside the servers that it asks.
	signatureNamespace = "openshift-config-managed"
	signatureLabel     = "release.openshift.io/verification-signatures"
	// maxSignatures bounds what one ConfigMap has of an image, in bytes: the API
	// takes a MiB of an object, in which bytes are written in base64.
	maxSignatures = 700 << 10
)

// ReleaseSignature is one signature of a release image.
type ReleaseSignature struct {
	// Digest is the release image's: of the manifest, or the list, that is
	// upgraded to.
	Digest digest.Digest
	Data   []byte
}

// Signatures returns a ConfigMap for each release image that has signatures, by
// which the cluster version operator verifies it with no network. The same ones in
// any order give the same text.
func Signatures(sigs []ReleaseSignature) ([]byte, error) {
	if len(sigs) == 0 {
		return nil, machine.Refuse("there is no signature of a release image: nodeseal bundle takes those of --cluster, or of --signatures")
	}
	sigs = slices.Clone(sigs)
	slices.SortFunc(sigs, func(a, b ReleaseSignature) int {
		return cmp.Or(cmp.Compare(a.Digest, b.Digest), bytes.Compare(a.Data, b.Data))
	})
	sigs = slices.CompactFunc(sigs, func(a, b ReleaseSignature) bool {
		return a.Digest == b.Digest && bytes.Equal(a.Data, b.Data)
	})
	var objects []any
	for len(sigs) > 0 {
		d := sigs[0].Digest
		if err := d.Validate(); err != nil {
			return nil, fmt.Errorf("signature of %q: %w", d, err)
		}
		name := fmt.Sprintf("%s-%s", d.Algorithm(), d.Encoded())
		cm := corev1.ConfigMap{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
			ObjectMeta: metav1.ObjectMeta{
				Name: "nodeseal-" + name, Namespace: signatureNamespace, Labels: map[string]string{signatureLabel: ""},
			},
			BinaryData: make(map[string][]byte),
		}
		size := 0
		for len(sigs) > 0 && sigs[0].Digest == d {
			cm.BinaryData[fmt.Sprintf("%s-%d", name, len(cm.BinaryData)+1)] = sigs[0].Data
			size += len(sigs[0].Data)
			sigs = sigs[1:]
		}
		if size > maxSignatures {
			return nil, machine.Refuse("the signatures of %s have %d bytes, and an object takes %d", d, size, maxSignatures)
		}
		objects = append(objects, cm)
	}
	return encode(objects...)
}
