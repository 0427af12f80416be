package samplerelease

// imageSpec is an image to be made: its layers and how it is kept.
type imageSpec struct {
	name string
	repo string // below Prefix
	// layers are base first. Layers with the same content are one blob.
	layers []tree
	as     compression
	oci    bool
	// listed images are referred to by an index (oci) or a manifest list; arm
	// is the layers of its linux/arm64 instance.
	listed bool
	arm    []tree
	// program is the entry point, with its arguments.
	program []string
	labels  map[string]string
}

// contentRepo holds the payload: all images in one repository, told apart by
// their digests, as in OpenShift's.
const contentRepo = "content"

// payload is the images that the release image lists.
func payload() []imageSpec {
	base, tools := baseLayer(), toolsLayer()
	var empty tree
	image := func(name string, as compression, oci bool, layers ...tree) imageSpec {
		return imageSpec{name: name, repo: contentRepo, layers: layers, as: as, oci: oci}
	}
	index := image("multus-cni", zstandard, true, rootLayer("amd64"), programLayer("multus-cni", 300_000))
	index.listed, index.arm = true, []tree{rootLayer("arm64"), programLayer("multus-cni", 300_000)}
	list := image("network-tools", gzipped, false, rootLayer("amd64"), tools)
	list.listed, list.arm = true, []tree{rootLayer("arm64"), tools}
	// The same config in two manifests and two repositories: one image record.
	twin := image("keepalived-ipfailover", gzipped, false, base, programLayer("keepalived", 200_000))
	other := twin
	other.name, other.repo, other.as, other.oci = "keepalived-twin", "content-twin", zstandard, true
	return []imageSpec{
		image("cli", gzipped, false, base, tools),
		// Layers without any file, twice in a row, as old builders left them.
		image("cluster-version-operator", gzipped, false, base, empty, empty, programLayer("cluster-version-operator", 500_000)),
		image("coredns", zstandard, true, base, removalLayer()),
		image("etcd", gzipped, false, base, tools, programLayer("etcd", 900_000)),
		image("haproxy-router", gzipped, true, base, nameLayer()),
		image("hyperkube", plain, true, base, linkLayer()),
		twin,
		other,
		image("kube-proxy", plain, false, base, programLayer("kube-proxy", 400_000)),
		image("machine-config-operator", gzipped, true, base, programLayer("machine-config-operator", 700_000), tools),
		index,
		list,
		image("node-tuning", zstandard, true, base, ownerLayer()),
		image("ovn-kubernetes", gzipped, false, base, tools, xattrLayer(), removalLayer()),
		image("pod", gzipped, false, base),
	}
}

// releaseSpec is the release image. Its last layer is the release's manifests.
func releaseSpec(imageReferences []byte, version string) imageSpec {
	var t tree
	t.dir("release-manifests", 0o755)
	t.file("release-manifests/image-references", 0o644, imageReferences)
	t.file("release-manifests/release-metadata", 0o644, releaseMetadata(version))
	return imageSpec{
		name: ReleaseImage, repo: ReleaseImage,
		layers: []tree{baseLayer(), programLayer("cluster-version-operator", 500_000), t},
		labels: map[string]string{"io.openshift.release": version},
	}
}

// writerSpec is the image of an application beside the release.
func writerSpec(program []byte, args []string) imageSpec {
	return imageSpec{
		name: WriterImage, repo: WriterImage,
		layers:  []tree{baseLayer(), writerLayer(program)},
		program: append([]string{"/usr/bin/" + WriterImage}, args...),
	}
}
