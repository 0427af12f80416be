package nodestore

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/memtest"
)

// FuzzList: in what is fuzzed CONFIG and MANIFEST stand for the digests of the two. The records, and a configuration and a manifest, of a node's storage are listed within
// bounds, and the names of what is listed are references by digest.
func FuzzList(f *testing.F) {
	config, manifest := []byte(`{"os":"linux","architecture":"amd64"}`), []byte(`{"schemaVersion":2}`)
	images := []byte(`[{"id":"CONFIG","names":["quay.io/a/b@MANIFEST","quay.io/a/b:1"],"big-data-names":["manifest"],"big-data-digests":{"manifest":"MANIFEST"}}]`)
	layers := []byte(`[{"id":"x","diff-digest":"` + digest.FromString("x").String() + `","diff-size":1}]`)
	f.Add(images, layers, config, manifest)
	f.Add([]byte(`[{"id":"../../x","names":["\n"]}]`), []byte("null"), config, manifest)
	f.Add([]byte(`[{"id":"x","names-history":["quay.io/a/b:1"]}]`), []byte("{}"), config, []byte("x"))
	f.Add(memtest.Repeat(1<<20, `[`, `{},`, `{}]`), layers, config, manifest)
	f.Add(memtest.Repeat(1<<20, `[{"names":[`, `"",`, `""]}]`), layers, config, manifest)
	f.Add(images, layers, memtest.Repeat(1<<20, `{"history":[`, `{},`, `{}]}`), manifest)
	f.Fuzz(func(t *testing.T, images, layers, config, manifest []byte) {
		dir, id, d := t.TempDir(), digest.FromBytes(config).Encoded(), digest.FromBytes(manifest).String()
		images = bytes.ReplaceAll(bytes.ReplaceAll(images, []byte("CONFIG"), []byte(id)), []byte("MANIFEST"), []byte(d))
		file := func(key string) string {
			return "overlay-images/" + id + "/=" + base64.StdEncoding.EncodeToString([]byte(key))
		}
		for name, data := range map[string][]byte{
			"overlay-images/images.json": images, "overlay-layers/layers.json": layers,
			file("manifest-" + d): manifest, file("sha256:" + id): config,
		} {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		memtest.Hold(t, 32*int64(len(images)+len(layers)+len(config)+len(manifest))+32<<20, func() {
			s, err := Open(dir)
			if err != nil {
				return
			}
			l, _ := s.List()
			for _, e := range l.Entries() {
				if !strings.HasSuffix(e.Ref, "@"+e.Digest.String()) {
					t.Errorf("entry %+v", e)
				}
			}
		})
	})
}
