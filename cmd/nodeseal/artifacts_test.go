package main

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nodeseal/nodeseal/internal/testregistry"
)

// serveArtifacts serves an image, a chart, a model and a note until the script ends, and
// writes images.lst and registries.conf: artifacts VERSION. Only the model's second file and
// the image change with the version. CHART, MODEL, NOTE and IMAGE are set to their references, ODD to that of one whose name CRI-O does not take.
func serveArtifacts(ts *testscript.TestScript, _ bool, args []string) {
	dir, version := ts.MkAbs("registry-"+args[0]), args[0]
	ts.Check(os.Mkdir(dir, 0o755))
	content := testregistry.NewContent(dir)
	layer, err := content.AddTar(func(w *tar.Writer) error { return writeText(w, len(version), 100<<10) })
	ts.Check(err)
	image, err := content.AddImage("ns/image", []testregistry.Layer{layer}, "v1")
	ts.Check(err)

	large := strings.Repeat("weights of a model, the same in each version\n", 200_000) // more than MaxSmallBlob
	refs := map[string]digest.Digest{
		"ns/image": image,
		"ns/chart": artifact(ts, content, "ns/chart", "application/vnd.cncf.helm.config.v1+json", `{"name":"chart"}`,
			file{"application/vnd.cncf.helm.chart.content.v1.tar+gzip", "chart.tgz", "\x1f\x8b\x08 not really gzip"}),
		"ns/model": artifact(ts, content, "ns/model", "application/vnd.example.model.config.v1+json", `not JSON`,
			file{"application/octet-stream", "weights.bin", large}, file{"text/plain", "version.txt", version}),
		// As oras attaches it: an empty configuration, which is a layer too, and one with nothing.
		"ns/note": artifact(ts, content, "ns/note", v1.MediaTypeEmptyJSON, `{}`,
			file{v1.MediaTypeEmptyJSON, "empty.json", `{}`}, file{"text/plain", "nothing", ""}),
	}
	// CRI-O takes no name with "__" in it. This one is in no list.
	odd := artifact(ts, content, "ns__odd/chart", "application/vnd.cncf.helm.config.v1+json", `{"name":"odd"}`,
		file{"application/vnd.cncf.helm.chart.content.v1.tar+gzip", "chart.tgz", "a chart"})
	ts.Setenv("ODD", "registry.example.com/ns__odd/chart@"+odd.String())
	list := ""
	for _, name := range []string{"ns/chart", "ns/image", "ns/model", "ns/note"} {
		ref := "registry.example.com/" + name + "@" + refs[name].String()
		list += ref + "\n"
		ts.Setenv(strings.ToUpper(strings.TrimPrefix(name, "ns/")), ref)
	}
	list += "registry.example.com/ns/chart:1.2.3\n"
	r := &testregistry.Registry{Content: content}
	addr, stop, err := r.Serve()
	ts.Check(err)
	ts.Defer(stop)
	ts.Check(os.WriteFile(ts.MkAbs("images.lst"), []byte(list), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("registries.conf"), []byte(testregistry.RegistriesConf("registry.example.com", addr)), 0o600))
}

// file is a layer of an artifact.
type file struct{ mediaType, title, content string }

// artifact adds an artifact to a repository, with the tag 1.2.3.
func artifact(ts *testscript.TestScript, content *testregistry.Content, repository, configType, config string, files ...file) digest.Digest {
	add := func(mediaType, data string) v1.Descriptor {
		d, err := content.AddBlob([]byte(data))
		ts.Check(err)
		return v1.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
	}
	m := v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest,
		Config: add(configType, config),
	}
	for _, f := range files {
		l := add(f.mediaType, f.content)
		l.Annotations = map[string]string{v1.AnnotationTitle: f.title}
		m.Layers = append(m.Layers, l)
	}
	data, err := json.Marshal(m)
	ts.Check(err)
	return content.AddManifest(repository, v1.MediaTypeImageManifest, data, "1.2.3")
}

// artifactBlob writes the blob of an artifact's file, as the registry had it, to a file:
// artifactblob STORE REF TITLE FILE. It is found as libartifact finds it.
func artifactBlob(ts *testscript.TestScript, _ bool, args []string) {
	root := args[0] + "/artifacts/"
	var index v1.Index
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(root+v1.ImageIndexFile)), &index))
	for _, m := range index.Manifests {
		if m.Annotations[v1.AnnotationRefName] != args[1] {
			continue
		}
		text := ts.ReadFile(root + "blobs/sha256/" + m.Digest.Encoded())
		if digest.FromString(text) != m.Digest || int64(len(text)) != m.Size {
			ts.Fatalf("the manifest of %s is not %s of %d bytes", args[1], m.Digest, m.Size)
		}
		var manifest v1.Manifest
		ts.Check(json.Unmarshal([]byte(text), &manifest))
		for _, l := range manifest.Layers {
			if l.Annotations[v1.AnnotationTitle] == args[2] {
				data := ts.ReadFile(root + "blobs/sha256/" + l.Digest.Encoded())
				if digest.FromString(data) != l.Digest {
					ts.Fatalf("%s has not the digest %s", args[2], l.Digest)
				}
				ts.Check(os.WriteFile(ts.MkAbs(args[3]), []byte(data), 0o600))
				return
			}
		}
	}
	ts.Fatalf("%s", fmt.Sprintf("no file %s of %s in %s", args[2], args[1], root))
}
