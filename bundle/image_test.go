package bundle_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"github.com/nodeseal/nodeseal/internal/memtest"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
)

const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerLayer    = "application/vnd.docker.image.rootfs.diff.tar"
	ociLayer       = "application/vnd.oci.image.layer.v1.tar"
)

// pair makes a manifest of the media type with one layer, and its configuration.
func pair(mediaType, layerType string, diffIDs int) (manifest, config []byte) {
	ids := make([]string, diffIDs)
	for i := range ids {
		ids[i] = fmt.Sprintf("%q", digest.FromString("diff"))
	}
	config = []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[` + strings.Join(ids, ",") + `]}}`)
	configType := v1.MediaTypeImageConfig
	if mediaType == dockerManifest {
		configType = "application/vnd.docker.container.image.v1+json"
	}
	manifest = fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[{"mediaType":%q,"digest":%q,"size":7}]}`,
		mediaType, configType, digest.FromBytes(config), len(config), layerType, digest.FromString("layer"))
	return manifest, config
}

// config changes the first old of a configuration, and what the manifest says of it.
func config(old, text string) func(manifest, config []byte) ([]byte, []byte) {
	return func(m, c []byte) ([]byte, []byte) {
		changed := strings.Replace(string(c), old, text, 1)
		s := strings.Replace(string(m), digest.FromBytes(c).String(), digest.FromString(changed).String(), 1)
		return []byte(strings.Replace(s, fmt.Sprintf(`"size":%d`, len(c)), fmt.Sprintf(`"size":%d`, len(changed)), 1)), []byte(changed)
	}
}

func TestDescribeImage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, mediaType, layer string
		diffIDs                int
		change                 func(manifest, config []byte) ([]byte, []byte)
		want                   error
	}{
		{"oci gzip", v1.MediaTypeImageManifest, ociLayer + "+gzip", 1, nil, nil},
		{"oci zstd", v1.MediaTypeImageManifest, ociLayer + "+zstd", 1, nil, nil},
		{"oci plain", v1.MediaTypeImageManifest, ociLayer, 1, nil, nil},
		{"docker gzip", dockerManifest, dockerLayer + ".gzip", 1, nil, nil},
		{"docker zstd", dockerManifest, dockerLayer + ".zstd", 1, nil, nil},
		{"docker plain", dockerManifest, dockerLayer, 1, nil, nil},
		{"schema 1 by type", "application/vnd.docker.distribution.manifest.v1+prettyjws", ociLayer, 1, nil, bundle.ErrSchema1},
		{"schema 1 by content", dockerManifest, dockerLayer, 1, func(_, c []byte) ([]byte, []byte) {
			return []byte(`{"schemaVersion":1,"fsLayers":[]}`), c
		}, bundle.ErrSchema1},
		{"foreign", dockerManifest, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", 1, nil, nil},
		{"non-distributable", v1.MediaTypeImageManifest, "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", 1, nil, nil},
		{"octet-stream", v1.MediaTypeImageManifest, "application/octet-stream", 1, nil, nil},
		{"no type", v1.MediaTypeImageManifest, "", 1, nil, nil},
		{"xz", v1.MediaTypeImageManifest, ociLayer + "+xz", 1, nil, nil},
		{"octet-stream, Docker", dockerManifest, "application/octet-stream", 1, nil, bundle.ErrUnreadable},
		{"no media type, Docker", dockerManifest, dockerLayer, 1, func(m, c []byte) ([]byte, []byte) {
			return []byte(strings.Replace(string(m), `"mediaType":"`+dockerManifest+`",`, "", 1)), c
		}, bundle.ErrUnreadable},
		{"no schema version", v1.MediaTypeImageManifest, ociLayer, 1, func(m, c []byte) ([]byte, []byte) {
			return []byte(strings.Replace(string(m), `"schemaVersion":2,`, "", 1)), c
		}, nil},
		{"OCI's configuration in Docker's manifest", dockerManifest, dockerLayer, 1, func(m, c []byte) ([]byte, []byte) {
			return []byte(strings.Replace(string(m), "application/vnd.docker.container.image.v1+json", v1.MediaTypeImageConfig, 1)), c
		}, nil},
		{"no root file system type", v1.MediaTypeImageManifest, ociLayer, 1, config(`"type":"layers",`, ""), nil},
		{"created that is no time", v1.MediaTypeImageManifest, ociLayer, 1, config(`{`, `{"created":"yesterday",`), bundle.ErrChain},
		{"environment that is not a list", v1.MediaTypeImageManifest, ociLayer, 1, config(`{`, `{"config":{"Env":1},`), bundle.ErrUnreadable},
		{"encrypted", v1.MediaTypeImageManifest, ociLayer + "+gzip+encrypted", 1, nil, bundle.ErrEncryptedLayer},
		{"artifact", v1.MediaTypeImageManifest, "application/vnd.cncf.helm.chart.content.v1.tar+gzip", 1, nil, bundle.ErrNotImage},
		{"unknown compression", v1.MediaTypeImageManifest, ociLayer + "+lz4", 1, nil, bundle.ErrNotImage},
		{"a list", v1.MediaTypeImageIndex, ociLayer, 1, nil, bundle.ErrNotImage},
		{"too few diff IDs", v1.MediaTypeImageManifest, ociLayer, 0, nil, bundle.ErrChain},
		{"too many diff IDs", v1.MediaTypeImageManifest, ociLayer, 2, nil, bundle.ErrChain},
		{"another configuration", v1.MediaTypeImageManifest, ociLayer, 1, func(m, _ []byte) ([]byte, []byte) { return m, []byte("{}") }, bundle.ErrChain},
		{"no root file system", v1.MediaTypeImageManifest, ociLayer, 1, func(_, _ []byte) ([]byte, []byte) {
			c := []byte("{}")
			return fmt.Appendf(nil, `{"schemaVersion":2,"config":{"mediaType":%q,"digest":%q,"size":2},"layers":[]}`,
				v1.MediaTypeImageConfig, digest.FromBytes(c)), c
		}, bundle.ErrNotImage},
		{"configuration of another kind", v1.MediaTypeImageManifest, ociLayer, 1, func(m, c []byte) ([]byte, []byte) {
			return []byte(strings.Replace(string(m), v1.MediaTypeImageConfig, "application/vnd.cncf.helm.config.v1+json", 1)), c
		}, bundle.ErrNotImage},
		{"a list too", v1.MediaTypeImageManifest, ociLayer, 1, func(m, c []byte) ([]byte, []byte) {
			return []byte(strings.Replace(string(m), `"layers"`, `"Manifests":[],"layers"`, 1)), c
		}, bundle.ErrChain},
		{"media types differ", v1.MediaTypeImageManifest, ociLayer, 1, func(m, c []byte) ([]byte, []byte) {
			return []byte(strings.Replace(string(m), v1.MediaTypeImageManifest, dockerManifest, 1)), c
		}, bundle.ErrChain},
		{"sha512", v1.MediaTypeImageManifest, ociLayer, 1, func(m, c []byte) ([]byte, []byte) {
			return []byte(strings.Replace(string(m), digest.FromString("layer").String(), digest.SHA512.FromString("layer").String(), 1)), c
		}, bundle.ErrChain},
		{"negative size", v1.MediaTypeImageManifest, ociLayer, 1, func(m, c []byte) ([]byte, []byte) {
			return []byte(strings.Replace(string(m), `"size":7`, `"size":-7`, 1)), c
		}, bundle.ErrChain},
		{"not JSON", v1.MediaTypeImageManifest, ociLayer, 1, func(_, c []byte) ([]byte, []byte) { return []byte("<html>"), c }, bundle.ErrChain},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m, config := pair(c.mediaType, c.layer, c.diffIDs)
			if c.change != nil {
				m, config = c.change(m, config)
			}
			img, err := bundle.DescribeImage(m, c.mediaType, config)
			if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err != nil {
				return
			}
			want := bundle.Layer{Digest: digest.FromString("layer"), Size: 7, MediaType: c.layer, DiffID: digest.FromString("diff")}
			if len(img.Layers) != 1 || img.Layers[0] != want || img.Digest != digest.FromBytes(m) || img.Platform.Architecture != "amd64" {
				t.Errorf("described as %+v", img)
			}
			if _, err := prove(&img, m, config); err != nil {
				t.Errorf("its own chain: %v", err)
			}
			img.Layers[0].DiffID = digest.FromString("other")
			if _, err := prove(&img, m, config); !errors.Is(err, bundle.ErrChain) {
				t.Errorf("another diff ID: %v", err)
			}
		})
	}
}

// prove proves an image that is named by its own digest.
func prove(img *bundle.Image, blobs ...[]byte) (*bundle.Proof, error) {
	if img.Ref == "" {
		img.Ref = "quay.io/a/b@" + img.Digest.String()
	}
	return img.Prove(func(d digest.Digest) ([]byte, error) {
		for _, b := range blobs {
			if digest.FromBytes(b) == d {
				return b, nil
			}
		}
		return nil, bundle.ErrNoBlob
	})
}

// No manifest and no configuration makes DescribeImage do more than refuse, and
// what it describes keeps its own chain.
func FuzzDescribeImage(f *testing.F) {
	for _, mt := range []string{v1.MediaTypeImageManifest, dockerManifest} {
		m, c := pair(mt, ociLayer+"+gzip", 1)
		f.Add(m, c)
	}
	f.Add([]byte(`{"schemaVersion":1}`), []byte(`{}`))
	f.Add([]byte(`{"schemaVersion":2,"config":{"digest":"sha256:"}}`), []byte(`[]`))
	m, c := pair(v1.MediaTypeImageManifest, ociLayer+"+gzip", 1)
	f.Add(memtest.Repeat(1<<20, `{"schemaVersion":2,"layers":[`, `{},`, `{}]}`), c)
	f.Add(m, memtest.Repeat(1<<20, `{"rootfs":{"type":"layers","diff_ids":[`, `"",`, `""]}}`))
	f.Fuzz(func(t *testing.T, manifest, config []byte) {
		var m struct {
			MediaType string `json:"mediaType"`
		}
		if json.Unmarshal(manifest, &m) != nil || m.MediaType == "" {
			m.MediaType = v1.MediaTypeImageManifest
		}
		var img bundle.Image
		var err error
		memtest.Hold(t, 16*int64(len(manifest)+len(config))+16<<20, func() { img, err = bundle.DescribeImage(manifest, m.MediaType, config) })
		if err != nil {
			return
		}
		if _, err := prove(&img, manifest, config); err != nil {
			t.Errorf("described as %+v: %v", img, err)
		}
		if _, err := img.Readable(); err != nil {
			t.Error(err)
		}
	})
}
