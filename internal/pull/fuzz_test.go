package pull

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"go.podman.io/image/v5/docker/reference"

	"github.com/nodeseal/nodeseal/internal/memtest"
)

// A registry's answers take a bounded memory: a manifest or list, a list of referrers, and the
// body of an error.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{ociManifest, ociIndex, schema2, list, schema1, signed1, `{"errors":[{"code":"DENIED","message":"x","detail":{"a":[1]}}]}`} {
		f.Add([]byte(s), MediaTypes()[0], `<http://h/v2/a?n=1>; rel="next"`)
	}
	f.Add(memtest.Repeat(1<<20, `{"manifests":[`, `{"platform":{}},`, `{}]}`), MediaTypes()[1], "")
	f.Add(memtest.Repeat(4<<20, `{"schemaVersion":1,"signatures":[`, `{},`, `{}]}`), "", "<")
	f.Add(memtest.Repeat(1<<20, `{"signatures":`, `[`, ``), "", "<>")
	f.Add(memtest.Repeat(1<<20, `{"errors":[`, `{},`, `{}]}`), "text/html", "")
	ref, err := reference.ParseNormalizedNamed("quay.io/a/b:v1")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte, said, link string) {
		header := http.Header{"Content-Type": {said}}
		memtest.Hold(t, 8*int64(len(data))+24<<20, func() {
			m, err := checkManifest(data, header, ref)
			if err == nil && (m.Digest.Validate() != nil || !bytes.Equal(m.Bytes, data)) {
				t.Errorf("manifest %s of %d bytes", m.Digest, len(m.Bytes))
			}
			_, _ = parseReferrers(data)
			nextPage(link)
			answer := &http.Response{StatusCode: http.StatusForbidden, Header: header, Body: io.NopCloser(io.LimitReader(bytes.NewReader(data), maxErrorBody))}
			_ = clean(transport.CheckError(answer, http.StatusOK), true, 0).Error()
		})
	})
}
