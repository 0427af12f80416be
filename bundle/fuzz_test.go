package bundle_test

import (
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/memtest"
)

// Only a list that names the manifest, and is nothing else, proves it.
func FuzzList(f *testing.F) {
	manifest, config := pair(v1.MediaTypeImageManifest, ociLayer+"+gzip", 1)
	img, err := bundle.DescribeImage(manifest, v1.MediaTypeImageManifest, config)
	if err != nil {
		f.Fatal(err)
	}
	entry := `{"mediaType":"` + v1.MediaTypeImageManifest + `","digest":"` + img.Digest.String() + `"}`
	f.Add([]byte(`{"schemaVersion":2,"manifests":[` + entry + `]}`))
	f.Add([]byte(`{"schemaVersion":2,"manifests":[` + entry + `],"layers":[]}`))
	f.Add([]byte(`{"schemaVersion":2,"Manifests":[` + entry + `],"manifests":null}`))
	f.Add(memtest.Repeat(1<<20, `{"schemaVersion":2,"manifests":[`, `{},`, entry+`]}`))
	f.Add(memtest.Repeat(1<<20, `{"schemaVersion":2,"manifests":[`, `{"platform":{}},`, entry+`]}`))
	f.Fuzz(func(t *testing.T, list []byte) {
		img := img
		img.Index = digest.FromBytes(list)
		img.Ref = "quay.io/a/b@" + img.Index.String()
		blobs := map[digest.Digest][]byte{img.Digest: manifest, img.Config.Digest: config, img.Index: list}
		var err error
		memtest.Hold(t, 16*int64(len(list))+16<<20, func() {
			_, err = img.Prove(func(d digest.Digest) ([]byte, error) { return blobs[d], nil })
		})
		if err == nil && !slices.Contains(digestsIn(list), img.Digest) {
			t.Errorf("%q proves %s", list, img.Digest)
		}
	})
}

// digestsIn returns what a text has of the form of a digest.
func digestsIn(text []byte) (found []digest.Digest) {
	for i := range text {
		if end := i + len("sha256:") + 64; end <= len(text) {
			if d := digest.Digest(text[i:end]); d.Validate() == nil {
				found = append(found, d)
			}
		}
	}
	return found
}

func FuzzDescribeAttachment(f *testing.F) {
	sum := digest.FromString("x").String()
	f.Add([]byte(`{"schemaVersion":2,"config":{"digest":"` + sum + `"},"layers":[{"digest":"` + sum + `","size":1}],"subject":{"digest":"` + sum + `"}}`))
	f.Add([]byte(`{"artifactType":"x","subject":{}}`))
	f.Add(memtest.Repeat(1<<20, `{"config":{"digest":"`+sum+`"},"layers":[`, `{},`, `{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var a bundle.Attachment
		var blobs []v1.Descriptor
		var err error
		memtest.Hold(t, 16*int64(len(data))+16<<20, func() {
			a, blobs, _, err = bundle.DescribeAttachment(data, v1.MediaTypeImageManifest)
		})
		if err != nil {
			return
		}
		if len(a.Blobs) != len(blobs) {
			t.Errorf("%d blobs, %d descriptors", len(a.Blobs), len(blobs))
		}
		for _, d := range a.Blobs {
			if bundle.CheckDigest(d) != nil {
				t.Errorf("blob %q", d)
			}
		}
	})
}

// FuzzDescribeArtifact: what is described as an artifact is one, and every digest of it is one.
func FuzzDescribeArtifact(f *testing.F) {
	sum := digest.FromString("x").String()
	head := `{"schemaVersion":2,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"` + sum + `","size":1},"layers":[`
	f.Add([]byte(head + `{"mediaType":"x","digest":"` + sum + `","size":1}]}`))
	f.Add([]byte(head + `{"digest":"sha256:","size":-1}]}`))
	f.Add([]byte(`{"schemaVersion":2,"config":{"mediaType":"x","digest":"` + sum + `","size":9223372036854775807},"Layers":null}`))
	f.Add(memtest.Repeat(1<<20, head, `{},`, `{}]}`))
	f.Add(memtest.Repeat(1<<20, head, `{"urls":[""]},`, `{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var img bundle.Image
		var err error
		memtest.Hold(t, 16*int64(len(data))+16<<20, func() { img, err = bundle.DescribeArtifact(data, v1.MediaTypeImageManifest) })
		if err != nil {
			return
		}
		if !img.Artifact || !bundle.IsArtifact(data, v1.MediaTypeImageManifest) {
			t.Errorf("%q is described as an artifact", data)
		}
		for _, l := range img.Layers {
			if bundle.CheckDigest(l.Digest) != nil || l.Size < 0 {
				t.Errorf("layer %+v", l)
			}
		}
	})
}
