package answer

import (
	"fmt"
	"net/http"

	"github.com/opencontainers/go-digest"
)

// Simple signatures are no part of the distribution specification. containers/image
// reads them from a lookaside server, or, from a registry that says in its header
// that it can, by the extension that OpenShift's own registry has: so they come
// from here, with nothing to configure on the node. Where no store has any, the
// header is left out, and the lookaside servers of the node's registries.d count.
const (
	signaturesHeader = "X-Registry-Supports-Signatures"
	signaturesPath   = "/extensions/v2/"
)

// simpleSignature is one signature in the extension's words.
type simpleSignature struct {
	Version int    `json:"schemaVersion"`
	Name    string `json:"name"`
	Type    string `json:"type"`
	Content []byte `json:"content"`
}

// listSignatures answers GET /extensions/v2/<name>/signatures/<digest>. What has
// no signatures has an empty list.
func (h *Handler) listSignatures(w http.ResponseWriter, r *http.Request, d digest.Digest) error {
	list := []simpleSignature{}
	for _, sig := range h.stores.current().signatures(d) {
		data, err := h.read(func(s *snapshot) ([]byte, error) { return s.attachment(sig) })
		if err != nil {
			return err
		}
		// A name is of the image and of the signature itself.
		list = append(list, simpleSignature{Version: 2, Name: fmt.Sprintf("%s@%s", d, sig.Encoded()[:32]), Type: "atomic", Content: data})
	}
	return writeDocument(w, r, "application/json", struct {
		Signatures []simpleSignature `json:"signatures"`
	}{list})
}
