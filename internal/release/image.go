package release

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/nodeseal/nodeseal/internal/atomicfile"
)

// writeImage writes an OCI image layout in a tar, with one image for each binary below an
// index: what podman, skopeo and oc read as oci-archive:FILE. The image has the program,
// its license and a /tmp, and no user but root.
func (o Options) writeImage(binaries []binary) (name string, err error) {
	name = "nodeseal-" + o.Version + "-image.tar"
	fail := func(err error) (string, error) { return "", fmt.Errorf("image %s: %w", name, err) }
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, b := range binaries {
		image, err := o.image(b)
		if err != nil {
			return fail(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: "linux", Architecture: b.architecture},
		}})
	}
	dir, err := os.MkdirTemp("", "nodeseal-release-")
	if err != nil {
		return fail(err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return fail(err)
	}
	annotations := map[string]string{"org.opencontainers.image.ref.name": o.Version}
	if err := path.AppendIndex(index, layout.WithAnnotations(annotations)); err != nil {
		return fail(err)
	}
	members, err := tree(dir, "")
	if err != nil {
		return fail(err)
	}
	out, err := atomicfile.Create(filepath.Join(o.Out, name), 0o644)
	if err != nil {
		return fail(err)
	}
	defer out.Close() //nolint:errcheck // Commit has said what there is to say
	if err := writeTar(out, o.Time, members); err != nil {
		return fail(err)
	}
	if err := out.Commit(); err != nil {
		return fail(err)
	}
	return name, nil
}

// image is that of one platform.
func (o Options) image(b binary) (v1.Image, error) {
	layer, err := o.layer(b)
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.Append(image, mutate.Addendum{Layer: layer, History: v1.History{
		Created: v1.Time{Time: o.Time.UTC()}, CreatedBy: "make release",
	}})
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(image, o.configuration(b, image))
}

// configuration says how a container of the image starts.
func (o Options) configuration(b binary, image v1.Image) *v1.ConfigFile {
	file, err := image.ConfigFile()
	if err != nil { // it is in memory, and ours
		return nil
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = "linux", b.architecture, v1.Time{Time: o.Time.UTC()}
	file.Config = v1.Config{
		Entrypoint: []string{"/usr/bin/nodeseal"},
		Env:        []string{"PATH=/usr/bin"},
		WorkingDir: "/",
		Labels: map[string]string{
			"org.opencontainers.image.title":       "nodeseal",
			"org.opencontainers.image.description": "Every image an OpenShift cluster needs, sealed on every node",
			"org.opencontainers.image.licenses":    "Apache-2.0",
			"org.opencontainers.image.version":     o.Version,
		},
	}
	return file
}

// layer is the one of an image.
func (o Options) layer(b binary) (v1.Layer, error) {
	program, err := fileEntry("usr/bin/nodeseal", filepath.Join(o.Out, b.name), 0o755)
	if err != nil {
		return nil, err
	}
	license, err := fileEntry("usr/share/licenses/nodeseal/LICENSE", filepath.Join(o.Source, "LICENSE"), 0o644)
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	if err := writeTar(&packed, o.Time, []entry{
		{name: "tmp/", mode: 0o1777}, {name: "usr/", mode: 0o755}, {name: "usr/bin/", mode: 0o755}, program,
		{name: "usr/share/", mode: 0o755}, {name: "usr/share/licenses/", mode: 0o755}, {name: "usr/share/licenses/nodeseal/", mode: 0o755}, license,
	}); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer))
}
