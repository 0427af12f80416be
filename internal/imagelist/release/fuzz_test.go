package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/nodeseal/nodeseal/internal/memtest"
)

// The last layer of a release image takes the memory of what is kept of it.
func FuzzReadLayer(f *testing.F) {
	var plain bytes.Buffer
	w := tar.NewWriter(&plain)
	for name, content := range map[string]string{
		referencesFile: stream(`{"name":"pod","from":{"kind":"DockerImage","name":"quay.io/a/b` + sum + `"}}`),
		metadataFile:   `{"kind":"cincinnati-metadata-v0","version":"4.17.9"}`,
		bootImagesFile: "apiVersion: v1\nkind: ConfigMap\ndata:\n  stream: '{\"architectures\":{}}'\n",
	} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content))}); err != nil {
			f.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(plain.Bytes())
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(plain.Bytes())
	_ = z.Close()
	f.Add(packed.Bytes())
	enc, err := zstd.NewWriter(nil, zstd.WithWindowSize(8<<20))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(enc.EncodeAll(plain.Bytes(), nil))
	f.Fuzz(func(t *testing.T, layer []byte) {
		memtest.Hold(t, 16*int64(len(layer))+160<<20, func() {
			files, err := readLayer(t.Context(), bytes.NewReader(layer))
			if err != nil {
				return
			}
			_ = new(Payload).parse(files)
		})
	})
}
