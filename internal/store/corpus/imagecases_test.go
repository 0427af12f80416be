//go:build corpus

package corpus_test

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// imageCase is one image of a registry, under the tag v1.
type imageCase struct {
	group, name string
	build       func(d *draft)
}

// images are the images of the corpus.
func images(t testing.TB) []imageCase {
	var out []imageCase
	group := ""
	add := func(name string, build func(d *draft)) { out = append(out, imageCase{group, name, build}) }
	one := func(name string, change func(d *draft)) {
		add(name, func(d *draft) { change(d); d.finish("v1") })
	}

	group = "manifests"
	one("OCI", func(*draft) {})
	docker := func(d *draft) {
		d.contentType, d.manifest["mediaType"] = dockerManifest, dockerManifest
		d.configDesc["mediaType"], d.layerDesc["mediaType"] = dockerConfig, dockerLayer
	}
	one("Docker, schema 2", docker)
	one("OCI without mediaType", func(d *draft) { d.manifest["mediaType"] = nil })
	one("Docker without mediaType", func(d *draft) { docker(d); d.manifest["mediaType"] = nil })
	one("OCI without schemaVersion", func(d *draft) { d.manifest["schemaVersion"] = nil })
	one("Docker without schemaVersion", func(d *draft) { docker(d); d.manifest["schemaVersion"] = nil })
	one("schemaVersion 3", func(d *draft) { d.manifest["schemaVersion"] = 3 })
	one("schemaVersion as text", func(d *draft) { d.manifest["schemaVersion"] = "2" })
	one("OCI with another mediaType inside", func(d *draft) { d.manifest["mediaType"] = dockerManifest })
	one("unknown fields", func(d *draft) { d.manifest["x"] = object{"y": 1} })
	one("annotations", func(d *draft) { d.manifest["annotations"] = object{"a": "b"} })
	one("subject", func(d *draft) {
		d.manifest["subject"] = object{"mediaType": v1.MediaTypeImageManifest, "digest": digest.FromString("x"), "size": 1}
	})
	one("artifactType", func(d *draft) { d.manifest["artifactType"] = "text/x" })
	one("config and manifests", func(d *draft) { d.manifest["manifests"] = []any{} })
	one("layers twice", func(d *draft) {
		d.config["rootfs"] = object{"type": "layers", "diff_ids": []any{digest.FromBytes(d.plain), digest.FromBytes(d.plain)}}
		d.manifest["layers"] = []any{d.layerDesc, d.layerDesc}
	})
	one("no layers", func(d *draft) {
		d.config["rootfs"] = object{"type": "layers", "diff_ids": []any{}}
		d.manifest["layers"] = []any{}
	})
	one("layers null", func(d *draft) {
		d.config["rootfs"] = object{"type": "layers", "diff_ids": nil}
		d.manifest["layers"] = literal("null")
	})
	one("a layer too many", func(d *draft) { d.manifest["layers"] = []any{d.layerDesc, d.layerDesc} })
	one("a layer by sha512", func(d *draft) {
		sum := digest.SHA512.FromBytes(d.layer)
		d.layerDesc["digest"] = sum
		d.shelf["/v2/"+d.repo+"/blobs/"+sum.String()] = answer{body: d.layer}
	})
	one("data in the descriptor", func(d *draft) { d.configDesc["data"] = []byte("{}") })
	add("schema 1", func(d *draft) {
		d.contentType = "application/vnd.docker.distribution.manifest.v1+json"
		d.put([]byte(`{"schemaVersion":1,"name":"`+d.repo+`","tag":"v1","architecture":"amd64","fsLayers":[{"blobSum":"`+
			d.blob(d.layer).String()+`"}],"history":[{"v1Compatibility":"{\"id\":\"a\",\"os\":\"linux\",\"architecture\":\"amd64\"}"}]}`), "v1")
	})
	add("not JSON", func(d *draft) { d.put([]byte("<html>"), "v1") })

	group = "configurations"
	one("Docker's type in an OCI manifest", func(d *draft) { d.configDesc["mediaType"] = dockerConfig })
	one("OCI's type in a Docker manifest", func(d *draft) { docker(d); d.configDesc["mediaType"] = v1.MediaTypeImageConfig })
	one("no type, OCI", func(d *draft) { d.configDesc["mediaType"] = nil })
	one("no type, Docker", func(d *draft) { docker(d); d.configDesc["mediaType"] = nil })
	one("odd type", func(d *draft) { d.configDesc["mediaType"] = "application/json" })
	one("octet-stream, OCI", func(d *draft) { d.configDesc["mediaType"] = "application/octet-stream" })
	one("octet-stream, Docker", func(d *draft) { docker(d); d.configDesc["mediaType"] = "application/octet-stream" })
	one("no rootfs.type", func(d *draft) { d.config["rootfs"] = object{"diff_ids": []any{digest.FromBytes(d.plain)}} })
	one("another rootfs.type", func(d *draft) {
		d.config["rootfs"] = object{"type": "x", "diff_ids": []any{digest.FromBytes(d.plain)}}
	})
	one("no rootfs", func(d *draft) { d.config["rootfs"] = nil })
	one("no diff IDs", func(d *draft) { d.config["rootfs"] = object{"type": "layers"} })
	one("another diff ID", func(d *draft) {
		d.config["rootfs"] = object{"type": "layers", "diff_ids": []any{digest.FromString("another")}}
	})
	one("no created", func(d *draft) { d.config["created"] = nil })
	one("created null", func(d *draft) { d.config["created"] = literal("null") })
	one("created empty", func(d *draft) { d.config["created"] = "" })
	one("created that is no time", func(d *draft) { d.config["created"] = "yesterday" })
	one("created as a number", func(d *draft) { d.config["created"] = 1 })
	one("created in the year 1", func(d *draft) { d.config["created"] = "0001-01-01T00:00:00Z" })
	one("created in the year 9999", func(d *draft) { d.config["created"] = "9999-12-31T23:59:59Z" })
	one("created with an offset", func(d *draft) { d.config["created"] = "2024-01-02T03:04:05.123456789+14:00" })
	one("no platform", func(d *draft) { d.config["os"], d.config["architecture"] = nil, nil })
	one("another architecture", func(d *draft) { d.config["architecture"] = "arm64" })
	one("variant", func(d *draft) { d.config["variant"] = "v2" })
	one("a wrong size", func(d *draft) { d.configDesc["size"] = 7 })
	one("size 0", func(d *draft) { d.configDesc["size"] = 0 })
	one("no size", func(d *draft) { d.configDesc["size"] = nil })
	one("missing", func(d *draft) { d.configDesc["digest"] = digest.FromString("missing"); d.configDesc["size"] = 7 })

	group = "artifacts"
	of := func(configType, layerType string) func(d *draft) {
		return func(d *draft) { d.configDesc["mediaType"], d.layerDesc["mediaType"] = configType, layerType }
	}
	one("a Helm chart", of("application/vnd.cncf.helm.config.v1+json", "application/vnd.cncf.helm.chart.content.v1.tar+gzip"))
	one("an empty configuration", of(v1.MediaTypeEmptyJSON, "text/plain"))
	one("an odd configuration, layers of an image", of("application/x-model", v1.MediaTypeImageLayerGzip))
	one("no layers", func(d *draft) { of("application/x-model", "")(d); d.manifest["layers"] = []any{} })
	one("artifactType", func(d *draft) { of("application/x-model", "text/plain")(d); d.manifest["artifactType"] = "text/x" })
	one("a wrong size of a layer", func(d *draft) { of("application/x-model", "text/plain")(d); d.layerDesc["size"] = 7 })
	one("a Docker manifest", func(d *draft) { docker(d); of("application/x-model", "text/plain")(d) })

	group = "types of layers"
	for _, mt := range []any{
		v1.MediaTypeImageLayer, v1.MediaTypeImageLayerZstd, dockerLayer, "application/octet-stream", nil, "application/x-tar",
		"application/vnd.docker.image.rootfs.diff.tar", "application/vnd.docker.image.rootfs.diff.tar.zstd",
		"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
		"application/vnd.oci.image.layer.v1.tar+xz", "application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "text/plain",
	} {
		name, _ := mt.(string)
		if mt == nil {
			name = "none"
		}
		one(name+", gzip inside", func(d *draft) { d.layerDesc["mediaType"] = mt })
		one(name+", gzip inside, Docker", func(d *draft) { docker(d); d.layerDesc["mediaType"] = mt })
	}
	foreign := func(d *draft) {
		d.layerDesc["mediaType"] = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
		d.layerDesc["urls"] = []any{"http://" + hostOf(d) + "/v2/" + d.repo + "/blobs/" + digest.FromBytes(d.layer).String()}
	}
	one("foreign, with an address", func(d *draft) { docker(d); foreign(d) })

	group = "compression"
	one("none", func(d *draft) { d.layer, d.layerDesc["mediaType"] = d.plain, v1.MediaTypeImageLayer })
	one("none, said to be gzip", func(d *draft) { d.layer = d.plain })
	one("zstd", func(d *draft) { d.layer, d.layerDesc["mediaType"] = zst(d.t, d.plain), v1.MediaTypeImageLayerZstd })
	one("zstd, said to be gzip", func(d *draft) { d.layer = zst(d.t, d.plain) })
	one("gzip of two members", func(d *draft) { d.layer = append(gz(d.plain[:1000]), gz(d.plain[1000:])...) })
	one("zstd of two frames", func(d *draft) { d.layer = append(zst(d.t, d.plain[:1000]), zst(d.t, d.plain[1000:])...) })
	one("zstd, window of 128 MiB", func(d *draft) { d.layer = pipe(d.t, d.plain, "zstd", "-q", "--long=27", "-c") })
	one("zstd with a skippable frame", func(d *draft) {
		d.layer = append(zst(d.t, d.plain), 0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4)
	})
	one("zstd without a checksum", func(d *draft) { d.layer = zst(d.t, d.plain, zstd.WithEncoderCRC(false)) })
	one("xz", func(d *draft) { d.layer = pipe(d.t, d.plain, "xz", "-c") })
	one("bzip2", func(d *draft) { d.layer = pipe(d.t, d.plain, "bzip2", "-c") })
	one("lz4", func(d *draft) { d.layer = pipe(d.t, d.plain, "lz4", "-c") })
	one("gzip with zeros behind", func(d *draft) { d.layer = append(gz(d.plain), make([]byte, 512)...) })
	one("gzip with bytes behind", func(d *draft) { d.layer = append(gz(d.plain), "behind"...) })
	one("gzip, cut", func(d *draft) { d.layer = gz(d.plain)[:100] })

	group = "sizes of layers"
	one("one byte less", func(d *draft) { d.layerDesc["size"] = len(d.layer) - 1 })
	one("one byte more", func(d *draft) { d.layerDesc["size"] = len(d.layer) + 1 })
	one("0", func(d *draft) { d.layerDesc["size"] = 0 })
	one("missing", func(d *draft) { d.layerDesc["size"] = nil })
	one("-1", func(d *draft) { d.layerDesc["size"] = -1 })
	one("2^62", func(d *draft) { d.layerDesc["size"] = int64(1) << 62 })

	group = "lists"
	lists(add, docker)

	group = "registries"
	for _, ct := range []string{"application/json", "text/plain", "application/octet-stream", "", v1.MediaTypeImageManifest + "; charset=utf-8", dockerManifest} {
		one("manifest served as "+or(ct, "nothing"), func(d *draft) { d.contentType = ct })
	}
	one("no Docker-Content-Digest", func(*draft) {})
	one("a wrong Docker-Content-Digest", func(d *draft) { d.header.Set("Docker-Content-Digest", digest.FromString("x").String()) })
	one("a Docker-Content-Digest that is not a digest", func(d *draft) { d.header.Set("Docker-Content-Digest", "x") })
	one("layer without Content-Length", func(d *draft) { d.layerAnswer.header = http.Header{"Transfer-Encoding": {"chunked"}} })
	one("layer is another one", func(d *draft) {
		sum := digest.FromBytes(d.layer)
		d.layerDesc["digest"], d.layerDesc["size"] = sum, len(d.layer)
		d.layer = bytes.ToUpper(d.layer)
		d.shelf["/v2/"+d.repo+"/blobs/"+sum.String()] = answer{body: d.layer}
	})
	one("layer is missing", func(d *draft) { d.layerAnswer.status = http.StatusNotFound })
	return out
}

// lists are the cases of lists.
func lists(add func(string, func(*draft)), docker func(*draft)) {
	list := func(name string, change object, entries func(d *draft) []object) {
		add(name, func(d *draft) { e := entries(d); d.list(change, e...) })
	}
	amd64 := func(d *draft) []object { return []object{on(d.finish(), "linux", "amd64")} }
	list("OCI", nil, amd64)
	list("OCI without mediaType", object{"mediaType": nil}, amd64)
	list("OCI without schemaVersion", object{"schemaVersion": nil}, amd64)
	list("Docker", object{"mediaType": dockerList}, func(d *draft) []object {
		docker(d)
		e := on(d.finish(), "linux", "amd64")
		e["mediaType"] = dockerManifest
		return []object{e}
	})
	list("OCI list of a Docker manifest", nil, func(d *draft) []object {
		docker(d)
		e := on(d.finish(), "linux", "amd64")
		e["mediaType"] = dockerManifest
		return []object{e}
	})
	list("entry without mediaType", nil, func(d *draft) []object {
		e := on(d.finish(), "linux", "amd64")
		delete(e, "mediaType")
		return []object{e}
	})
	list("entry with the other mediaType", nil, func(d *draft) []object {
		e := on(d.finish(), "linux", "amd64")
		e["mediaType"] = dockerManifest
		return []object{e}
	})
	list("entry with a wrong size", nil, func(d *draft) []object {
		e := on(d.finish(), "linux", "amd64")
		e["size"] = 7
		return []object{e}
	})
	list("entry without a platform", nil, func(d *draft) []object { return []object{d.finish()} })
	list("entries without a platform, of two", nil, func(d *draft) []object {
		other := newDraft(d.t, d.shelf, d.repo)
		other.config["architecture"] = "arm64"
		return []object{d.finish(), other.finish()}
	})
	list("entry without a platform, beside arm64", nil, func(d *draft) []object {
		other := newDraft(d.t, d.shelf, d.repo)
		other.config["architecture"] = "arm64"
		return []object{on(other.finish(), "linux", "arm64"), d.finish()}
	})
	list("none for the platform", nil, func(d *draft) []object { return []object{on(d.finish(), "linux", "s390x")} })
	list("no entries", nil, func(*draft) []object { return nil })
	list("entry that is missing", nil, func(d *draft) []object {
		e := on(d.finish(), "linux", "amd64")
		e["digest"] = digest.FromString("missing")
		return []object{e}
	})
	list("with an attestation", nil, func(d *draft) []object {
		other := newDraft(d.t, d.shelf, d.repo)
		other.config = object{"rootfs": object{"type": "layers", "diff_ids": []any{}}}
		other.manifest["layers"] = []any{object{"mediaType": "application/vnd.in-toto+json", "digest": other.blob([]byte("{}")), "size": 2}}
		return []object{on(d.finish(), "linux", "amd64"), on(other.finish(), "unknown", "unknown")}
	})
	zstdTwin := func(d *draft) object {
		other := newDraft(d.t, d.shelf, d.repo)
		other.layer, other.layerDesc["mediaType"] = zst(d.t, d.plain), v1.MediaTypeImageLayerZstd
		e := on(other.finish(), "linux", "amd64")
		e["annotations"] = object{"io.github.containers.compression.zstd": "true"}
		return e
	}
	list("gzip, then zstd", nil, func(d *draft) []object { return []object{on(d.finish(), "linux", "amd64"), zstdTwin(d)} })
	list("zstd, then gzip", nil, func(d *draft) []object { return []object{zstdTwin(d), on(d.finish(), "linux", "amd64")} })
	list("gzip, then zstd, with the artifactType of configurations", nil, func(d *draft) []object {
		first, second := on(d.finish(), "linux", "amd64"), zstdTwin(d)
		first["artifactType"], second["artifactType"] = v1.MediaTypeImageConfig, v1.MediaTypeImageConfig
		return []object{first, second}
	})
	list("gzip and zstd without a platform", nil, func(d *draft) []object {
		z := zstdTwin(d)
		delete(z, "platform")
		return []object{d.finish(), z}
	})
	list("two of one platform", nil, func(d *draft) []object {
		other := newDraft(d.t, d.shelf, d.repo)
		other.config["author"] = "another"
		return []object{on(d.finish(), "linux", "amd64"), on(other.finish(), "linux", "amd64")}
	})
	list("amd64/v3 before amd64", nil, func(d *draft) []object {
		other := newDraft(d.t, d.shelf, d.repo)
		other.config["variant"] = "v3"
		return []object{on(other.finish(), "linux", "amd64", "v3"), on(d.finish(), "linux", "amd64")}
	})
	add("a list in a list", func(d *draft) {
		inner := text(d.t, object{
			"schemaVersion": 2, "mediaType": v1.MediaTypeImageIndex, "manifests": []any{on(d.finish(), "linux", "amd64")},
		})
		d.contentType = v1.MediaTypeImageIndex
		d.put(inner)
		d.list(nil, on(object{"mediaType": v1.MediaTypeImageIndex, "digest": digest.FromBytes(inner), "size": len(inner)}, "linux", "amd64"))
	})
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}
