//go:build attacks

package attacks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// registry serves blobs and manifests by digest, and what answer knows first. It returns its
// host[:port] and the registries.conf for it.
func registry(t *testing.T, content map[digest.Digest][]byte, answer func(w http.ResponseWriter, path string) bool) (host, conf string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" || answer(w, r.URL.Path) {
			return
		}
		data, ok := content[digest.Digest(r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if strings.Contains(r.URL.Path, "/manifests/") {
			w.Header().Set("Content-Type", v1.MediaTypeImageManifest)
		}
		_, _ = w.Write(data)
	}))
	t.Cleanup(server.Close)
	host = strings.TrimPrefix(server.URL, "http://")
	return host, write(t, "registries.conf", fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n", host))
}

// bundleOf bundles references of the registry.
func bundleOf(t *testing.T, a attack, conf string, refs ...string) {
	t.Helper()
	dir := t.TempDir()
	a.run(t, "bundle", "--images", write(t, "images.lst", strings.Join(refs, "\n")+"\n"), "--registries-conf", conf,
		"--work", filepath.Join(dir, "work"), "-o", filepath.Join(dir, "x.tar.zst"))
}

// TestManifestBombs asks for manifests that are long and say nothing.
func TestManifestBombs(t *testing.T) {
	bomb := func(w http.ResponseWriter, path string) bool {
		if !strings.Contains(path, "/manifests/") {
			return false
		}
		w.Header().Set("Content-Type", v1.MediaTypeImageManifest)
		_, _ = w.Write([]byte(`{"schemaVersion":1,"signatures":[`))
		for left := 8<<20 - 4000; left > 0; left -= 3000 {
			_, _ = w.Write(bytes.Repeat([]byte("{},"), 1000))
		}
		_, _ = w.Write([]byte(`{}]}`))
		return true
	}
	host, conf := registry(t, nil, bomb)
	refs := make([]string, 8)
	for i := range refs {
		refs[i] = fmt.Sprintf("%s/a/b%d:v1", host, i)
	}
	bundleOf(t, attack{
		Name: "network: manifests of 8 MiB of signatures that are {}", Before: "0.8 GB for each",
		Exit: 1, Says: "too many values",
	}, conf, refs...)
}

// TestAttachmentBombs has an image with referrers that name many blobs, and pages of referrers.
func TestAttachmentBombs(t *testing.T) {
	content := make(map[digest.Digest][]byte)
	put := func(data []byte) v1.Descriptor {
		d := digest.FromBytes(data)
		content[d] = data
		return v1.Descriptor{MediaType: "application/octet-stream", Digest: d, Size: int64(len(data))}
	}
	document := func(v any) []byte {
		data, err := json.Marshal(v)
		must(t, err)
		return data
	}
	config := put([]byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`))
	config.MediaType = v1.MediaTypeImageConfig
	image := v1.Manifest{MediaType: v1.MediaTypeImageManifest, Config: config, Layers: []v1.Descriptor{}}
	image.SchemaVersion = 2
	subject := put(document(image))
	subject.MediaType = v1.MediaTypeImageManifest
	empty := put([]byte("{}"))
	referrer := v1.Manifest{MediaType: v1.MediaTypeImageManifest, ArtifactType: "application/x", Config: empty, Subject: &subject}
	referrer.SchemaVersion = 2
	for i := range 100 { // of which each is made when it is asked for
		d := digest.FromString(fmt.Sprint(i))
		referrer.Layers = append(referrer.Layers, v1.Descriptor{MediaType: "application/octet-stream", Digest: d, Size: 8 << 20})
	}
	attached := put(document(referrer))
	attached.MediaType = v1.MediaTypeImageManifest
	pages := 0
	answer := func(w http.ResponseWriter, path string) bool {
		if !strings.Contains(path, "/referrers/") {
			return false
		}
		w.Header().Set("Content-Type", v1.MediaTypeImageIndex)
		index := v1.Index{MediaType: v1.MediaTypeImageIndex, Manifests: []v1.Descriptor{attached}}
		index.SchemaVersion = 2
		if pages > 0 {
			w.Header().Set("Link", fmt.Sprintf(`<%s?n=%d>; rel="next"`, path, pages))
			pages++
			index.Annotations = map[string]string{"": ""}
			for range 20_000 {
				index.Manifests = append(index.Manifests, attached)
			}
		}
		_, _ = w.Write(document(index))
		return true
	}
	host, conf := registry(t, content, answer)
	ref := host + "/a/b@" + subject.Digest.String()
	bundleOf(t, attack{
		Name: "network: a referrer of 100 blobs of 8 MiB", Before: "all of them in memory at once, 0.8 GB",
		Exit: 0, Says: "bytes that are carried",
	}, conf, ref)
	pages = 1
	bundleOf(t, attack{
		Name: "network: referrers on 100 pages of 4 MiB", Before: "all of them in memory at once",
		Exit: 0, Says: "referrers of more than",
	}, conf, ref)
}
