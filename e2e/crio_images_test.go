//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"io"
	"log"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/compression"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// crioRepo is what the references of the images for CRI-O begin with.
const crioRepo = "quay.io/nodeseal-e2e"

// crioImages are images in a bundle, by their references as pods write them.
type crioImages struct {
	bundle string
	pause  string // by digest
	app    string // by digest
	tagged string // another image, by tag
	tagRef string // the same one by digest
	listed string // by the digest of a list
	added  string // by the digest of a list with gzip and zstd instances of one image
	twins  []string
	// twinDiff is the diff ID of the layer that the twins share.
	twinDiff string
	all      []string
	signed   *signedImages
}

// forever is what a pause container does: nothing, until it is told to end.
const forever = `trap "exit 0" TERM INT; while :; do sleep 3600 & wait $!; done`

// makeCRIOImages makes the images, serves them from a registry of this process,
// and bundles them. label makes another release of them.
func makeCRIOImages(t *testing.T, label string) *crioImages {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	addr := strings.TrimPrefix(server.URL, "http://")
	m := &imageMaker{t: t, addr: addr, label: label}
	base := m.layer(gzipDefault, baseFiles(t))
	own := m.layer(gzipDefault, appFiles(t))
	text := []entryOf{{tar.Header{Typeflag: tar.TypeReg, Name: "data/release", Mode: 0o644}, label + "\n"}}
	images := &crioImages{}
	images.pause = m.push("pause", "", m.image([]string{"/bin/sh", "-c", forever}, base))
	images.app = m.push("app", "", m.image([]string{"/bin/sh"}, base, own))
	images.tagRef = m.push("tagged", "v1", m.image([]string{"/bin/sh"}, base, m.layer(gzipDefault, text)))
	images.tagged = crioRepo + "/tagged:v1"
	images.listed = m.pushList("listed", m.image([]string{"/bin/true"}, base, m.layer(gzipDefault, text)))
	again := []entryOf{{tar.Header{Typeflag: tar.TypeReg, Name: "data/added", Mode: 0o644}, label + "\n"}}
	images.added = m.pushList("added", m.oci(m.image([]string{"/bin/true"}, base, m.layer(gzipDefault, again))),
		m.oci(m.image([]string{"/bin/true"}, m.zstd(baseFiles(t)), m.zstd(again))))
	// One content under three compressed digests, in two images with one
	// configuration and one with another.
	big := []entryOf{{tar.Header{Typeflag: tar.TypeReg, Name: "data/twin", Mode: 0o644}, strings.Repeat(label+" twin\n", 50_000)}}
	for _, twin := range []struct {
		level   int
		command string
	}{{1, "one"}, {5, "one"}, {9, "other"}} {
		layer := m.layer(twin.level, big)
		images.twinDiff = diffOf(t, layer)
		image := m.image([]string{"/bin/sh", "-c", "#" + twin.command}, base, layer)
		images.twins = append(images.twins, m.push("twin", "", image))
	}
	images.all = append([]string{images.pause, images.app, images.tagRef, images.listed, images.added}, images.twins...)
	list := harness.WriteFile(t, "images.lst", strings.Join(append(images.all, images.tagged), "\n")+"\n")
	conf := harness.WriteFile(t, "registries.conf", `[[registry]]
prefix = "`+crioRepo+`"
location = "`+addr+`/nodeseal-e2e"
insecure = true
`)
	images.bundle = filepath.Join(t.TempDir(), label+".tar.zst")
	images.signed = m.sign(images)
	harness.MustNodeseal(t, append([]string{"bundle", "--images", list, "-o", images.bundle, "--registries-conf", conf}, images.signed.flags()...)...)
	return images
}

const gzipDefault = -1

type entryOf struct {
	header  tar.Header
	content string
}

type imageMaker struct {
	t           *testing.T
	addr, label string
}

func (m *imageMaker) layer(level int, entries []entryOf) v1.Layer {
	m.t.Helper()
	return m.compressed(entries, tarball.WithCompressionLevel(level))
}

// zstd is a layer that is compressed with zstd.
func (m *imageMaker) zstd(entries []entryOf) v1.Layer {
	m.t.Helper()
	return m.compressed(entries, tarball.WithCompression(compression.ZStd), tarball.WithMediaType(types.OCILayerZStd))
}

// oci is an image in OCI's words.
func (m *imageMaker) oci(img v1.Image) v1.Image {
	return mutate.ConfigMediaType(mutate.MediaType(img, types.OCIManifestSchema1), types.OCIConfigJSON)
}

func (m *imageMaker) compressed(entries []entryOf, options ...tarball.LayerOption) v1.Layer {
	m.t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		e.header.Size = int64(len(e.content))
		if err := w.WriteHeader(&e.header); err != nil {
			m.t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			m.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		m.t.Fatal(err)
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil }
	layer, err := tarball.LayerFromOpener(open, options...)
	if err != nil {
		m.t.Fatal(err)
	}
	return layer
}

func (m *imageMaker) image(command []string, layers ...v1.Layer) v1.Image {
	m.t.Helper()
	img, err := mutate.AppendLayers(empty.Image, layers...)
	if err == nil {
		img, err = mutate.ConfigFile(img, &v1.ConfigFile{
			Architecture: "amd64", OS: "linux",
			RootFS: configOf(m.t, img).RootFS,
			Config: v1.Config{Cmd: command, Env: []string{"PATH=/bin"}, Labels: map[string]string{"release": m.label}},
		})
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return img
}

func diffOf(t *testing.T, layer v1.Layer) string {
	t.Helper()
	d, err := layer.DiffID()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

func configOf(t *testing.T, img v1.Image) *v1.ConfigFile {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// push writes an image and returns its reference by digest.
func (m *imageMaker) push(repo, tag string, img v1.Image) string {
	m.t.Helper()
	d, err := img.Digest()
	if err != nil {
		m.t.Fatal(err)
	}
	for _, target := range []string{"@" + d.String(), ":" + tag} {
		if target == ":" {
			continue
		}
		ref, err := name.ParseReference(m.addr+"/nodeseal-e2e/"+repo+target, name.Insecure)
		if err == nil {
			err = remote.Write(ref, img)
		}
		if err != nil {
			m.t.Fatal(err)
		}
	}
	return crioRepo + "/" + repo + "@" + d.String()
}

// pushList writes images of one platform in a list and returns the list's reference.
// All but the first are marked as zstd's, as podman manifest push --add-compression does.
func (m *imageMaker) pushList(repo string, images ...v1.Image) string {
	m.t.Helper()
	list := v1.ImageIndex(empty.Index)
	for i, img := range images {
		desc := v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}
		if i > 0 {
			desc.Annotations = map[string]string{"io.github.containers.compression.zstd": "true"}
		}
		list = mutate.AppendManifests(list, mutate.IndexAddendum{Add: img, Descriptor: desc})
	}
	d, err := list.Digest()
	if err != nil {
		m.t.Fatal(err)
	}
	ref, err := name.NewDigest(m.addr+"/nodeseal-e2e/"+repo+"@"+d.String(), name.Insecure)
	if err == nil {
		err = remote.WriteIndex(ref, list)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return crioRepo + "/" + repo + "@" + d.String()
}

// baseFiles are a static busybox, links to it, and files that the app's layer
// takes away.
func baseFiles(t *testing.T) []entryOf {
	busybox := harness.ReadFile(t, testenv.NeedTool(t, "busybox"))
	var out []entryOf
	for _, dir := range []string{"bin", "data", "data/dir", "data/hidden", "etc", "proc", "sys", "dev", "tmp", "run"} {
		out = append(out, entryOf{tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}, ""})
	}
	out = append(out, entryOf{tar.Header{Typeflag: tar.TypeReg, Name: "bin/busybox", Mode: 0o755}, string(busybox)})
	for _, applet := range []string{"sh", "cat", "mv", "rm", "chmod", "ls", "mkdir", "ln", "sleep", "true", "id", "stat", "test", "wc", "hexdump"} {
		out = append(out, entryOf{tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + applet, Linkname: "busybox"}, ""})
	}
	for _, file := range []string{"overwrite", "append", "rename", "remove", "chmod", "dir/file", "gone", "hidden/file"} {
		out = append(out, entryOf{tar.Header{Typeflag: tar.TypeReg, Name: "data/" + file, Mode: 0o644}, "image\n"})
	}
	return append(out, entryOf{tar.Header{Typeflag: tar.TypeReg, Name: "etc/passwd", Mode: 0o644}, "root:x:0:0:root:/:/bin/sh\nuser:x:1000:1000:user:/:/bin/sh\n"})
}

// appFiles takes a file and the content of a directory away, and adds programs:
// cat with a file capability, and one with set-uid that says who runs it.
func appFiles(t *testing.T) []entryOf {
	capability := binary.LittleEndian.AppendUint32(nil, 0x02000001)
	capability = binary.LittleEndian.AppendUint32(capability, 1<<10) // cap_net_bind_service
	capability = append(capability, make([]byte, 12)...)
	source := harness.WriteFile(t, "who.c", "#include <stdio.h>\n#include <unistd.h>\n"+
		"int main(void) { printf(\"uid %d euid %d\\n\", getuid(), geteuid()); return 0; }\n")
	who := filepath.Join(t.TempDir(), "who")
	harness.Must(t, "cc", "-static", "-Os", "-o", who, source)
	return []entryOf{
		{tar.Header{Typeflag: tar.TypeReg, Name: "data/.wh.gone", Mode: 0o644}, ""},
		{tar.Header{Typeflag: tar.TypeDir, Name: "data/hidden/", Mode: 0o755}, ""},
		{tar.Header{Typeflag: tar.TypeReg, Name: "data/hidden/.wh..wh..opq", Mode: 0o644}, ""},
		{tar.Header{Typeflag: tar.TypeReg, Name: "data/hidden/new", Mode: 0o644}, "new\n"},
		{tar.Header{Typeflag: tar.TypeDir, Name: "capable/", Mode: 0o755}, ""},
		{tar.Header{
			Typeflag: tar.TypeReg, Name: "capable/cat", Mode: 0o755,
			PAXRecords: map[string]string{"SCHILY.xattr.security.capability": string(capability)},
		}, string(harness.ReadFile(t, testenv.NeedTool(t, "busybox")))},
		{tar.Header{Typeflag: tar.TypeReg, Name: "capable/owned", Mode: 0o640, Uid: 1000, Gid: 1001}, "owned\n"},
		{tar.Header{Typeflag: tar.TypeReg, Name: "bin/who", Mode: 0o4755}, string(harness.ReadFile(t, who))},
	}
}
