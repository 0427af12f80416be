package bundle

import (
	"encoding/json"
	"fmt"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// SigstoreBlob is a sigstore signature in the form in which containers/image keeps
// it in files and stores: layer is the descriptor in the attachment's manifest,
// whose annotations sign, payload what it names.
func SigstoreBlob(layer v1.Descriptor, payload []byte) ([]byte, error) {
	data, err := json.Marshal(struct {
		MediaType   string            `json:"mimeType"`
		Payload     []byte            `json:"payload"`
		Annotations map[string]string `json:"annotations"`
	}{layer.MediaType, payload, layer.Annotations})
	if err != nil {
		return nil, fmt.Errorf("encoding signature: %w", err)
	}
	return append([]byte("\x00sigstore-json\n"), data...), nil
}

// SimpleBlob is a simple signature in that form.
func SimpleBlob(message []byte) []byte {
	return append([]byte("\x00simple-signing\n"), message...)
}
