package answer

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
)

// The error codes of the distribution specification that are given.
const (
	codeBlobUnknown     = "BLOB_UNKNOWN"
	codeDigestInvalid   = "DIGEST_INVALID"
	codeManifestUnknown = "MANIFEST_UNKNOWN"
	codeNameInvalid     = "NAME_INVALID"
	codeNameUnknown     = "NAME_UNKNOWN"
	codeUnsupported     = "UNSUPPORTED"
	codeUnknown         = "UNKNOWN"
	codeTooMany         = "TOOMANYREQUESTS"
)

// maxEcho bounds what of a request is repeated in an error, in bytes.
const maxEcho = 128

// apiError is an error with the status and the code that the client is given.
type apiError struct {
	status  int
	code    string
	message string
}

// Error implements error.
func (e *apiError) Error() string { return e.message }

func errNotFound(message string) error {
	return &apiError{http.StatusNotFound, codeUnsupported, message}
}

func errNameInvalid(name string) error {
	return &apiError{http.StatusBadRequest, codeNameInvalid, fmt.Sprintf("repository name %q is not valid", echo(name))}
}

func errNameUnknown(name string) error {
	return &apiError{http.StatusNotFound, codeNameUnknown, fmt.Sprintf("no store on this node has a repository %s", echo(name))}
}

func errDigestInvalid(arg string) error {
	return &apiError{http.StatusBadRequest, codeDigestInvalid, fmt.Sprintf("digest %q is not valid", echo(arg))}
}

func errManifestUnknown(name, what string) error {
	return &apiError{
		http.StatusNotFound, codeManifestUnknown,
		fmt.Sprintf("no store on this node has %s of %s: it was not in the bundle", echo(what), echo(name)),
	}
}

func errBlobUnknown(d digest.Digest, why string) error {
	return &apiError{http.StatusNotFound, codeBlobUnknown, fmt.Sprintf("blob %s: %s", d, why)}
}

// echo shortens what a client sent.
func echo(s string) string {
	if len(s) > maxEcho {
		s = s[:maxEcho] + "..."
	}
	return strings.ToValidUTF8(s, "?")
}

// writeError answers with e in the form of the specification.
func writeError(w http.ResponseWriter, r *http.Request, e *apiError) {
	type item struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	body, err := json.Marshal(struct {
		Errors []item `json:"errors"`
	}{[]item{{e.code, e.message}}})
	if err != nil {
		body = []byte(`{"errors":[]}`) // strings always have a JSON form
	}
	writeJSON(w, r, e.status, "application/json", body)
}

// writeJSON answers with a whole body, or with its headers alone for HEAD.
func writeJSON(w http.ResponseWriter, r *http.Request, status int, mediaType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client is gone; there is nobody to tell
	}
}
