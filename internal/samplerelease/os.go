package samplerelease

import "fmt"

// OSImage is the name of the operating system's image, as OpenShift's payloads have it.
const OSImage = "rhel-coreos"

// OS says of what shape the operating system's image is. A real one has 50 to 100 layers of
// 1 to 300 MB.
type OS struct {
	// Layers is how many it has; 0 leaves the image out.
	Layers int
	// LayerSize is about how many bytes each has, compressed; 0 is 4 KiB.
	LayerSize int
	// Build tells images apart: the first half of the layers is the same in all builds.
	Build string
}

const osLayerSize = 4 << 10

// osSpec is the operating system's image: a base, and packages in layers of their own.
func osSpec(o OS) imageSpec {
	size := o.LayerSize
	if size == 0 {
		size = osLayerSize
	}
	spec := imageSpec{
		name: OSImage, repo: contentRepo, as: gzipped, oci: true,
		labels: map[string]string{"ostree.bootable": "true", "containers.bootc": "1", "ostree.linux": "5.14.0"},
	}
	for i := range o.Layers {
		build := ""
		if i >= o.Layers/2 {
			build = o.Build
		}
		var t tree
		t.dir("sysroot/ostree/repo/objects", 0o755)
		name := fmt.Sprintf("package %d of %s %s", i, OSImage, build)
		t.file(fmt.Sprintf("sysroot/ostree/repo/objects/%02d.file", i), 0o644, bytesOf(name, size))
		if i == 0 {
			t.dir("usr/lib", 0o755)
			t.file("usr/lib/os-release", 0o644, lines(`NAME="Made-up CoreOS"`, "ID=madeup", "VERSION_ID="+Version))
		}
		spec.layers = append(spec.layers, t)
	}
	return spec
}
