//go:build corpus

package corpus_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	. "github.com/nodeseal/nodeseal/internal/store/storetest"
)

// Media types that the specification of OCI images has no names for.
const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerConfig   = "application/vnd.docker.container.image.v1+json"
	dockerLayer    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

// object is a JSON object whose fields a case may change, remove or add.
type object = map[string]any

// answer is what the registry says to a path.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// shelf is a registry that answers anything that a case puts there.
type shelf map[string]answer

// ServeHTTP implements http.Handler.
func (s shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v2/" {
		return
	}
	a, ok := s[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	for k, v := range a.header {
		w.Header()[k] = v
	}
	if a.header.Get("Transfer-Encoding") == "" {
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	if r.Method != http.MethodHead {
		_, _ = w.Write(a.body)
	}
}

// draft is an image that is about to be put on the shelf.
type draft struct {
	t     testing.TB
	shelf shelf
	repo  string

	plain       []byte // of the one layer
	layer       []byte // as it is served
	layerDesc   object
	config      object
	configDesc  object
	manifest    object
	contentType string
	header      http.Header // of the manifest
	layerAnswer answer
}

// newDraft is an ordinary image: OCI, one gzip layer, for linux/amd64.
func newDraft(t testing.TB, s shelf, repo string) *draft {
	plain := Tar(t, Dir("etc/"), File("etc/case", repo+strings.Repeat(" content", 100)))
	d := &draft{t: t, shelf: s, repo: repo, plain: plain, header: http.Header{}, contentType: v1.MediaTypeImageManifest}
	d.layerDesc = object{"mediaType": v1.MediaTypeImageLayerGzip}
	d.configDesc = object{"mediaType": v1.MediaTypeImageConfig}
	d.config = object{
		"architecture": "amd64", "os": "linux", "created": "2024-01-02T03:04:05Z", "config": object{"Labels": object{"case": repo}},
		"rootfs": object{"type": "layers", "diff_ids": []any{digest.FromBytes(plain)}},
	}
	d.manifest = object{"schemaVersion": 2, "mediaType": v1.MediaTypeImageManifest}
	d.layer = gz(plain)
	return d
}

func (d *draft) blob(data []byte) digest.Digest {
	sum := digest.FromBytes(data)
	d.shelf["/v2/"+d.repo+"/blobs/"+sum.String()] = answer{body: data}
	return sum
}

// set sets fields that are not set.
func set(o object, fields object) object {
	for k, v := range fields {
		if _, ok := o[k]; !ok {
			o[k] = v
		}
	}
	for k, v := range o {
		if v == nil {
			delete(o, k)
		}
	}
	return o
}

// finish puts the image on the shelf under its digest and the tags, and returns the
// descriptor of its manifest. A field that a case set to nil is left out.
func (d *draft) finish(tags ...string) object {
	layer := d.layerAnswer
	layer.body = d.layer
	sum := digest.FromBytes(d.layer)
	d.shelf["/v2/"+d.repo+"/blobs/"+sum.String()] = layer
	set(d.layerDesc, object{"digest": sum, "size": len(d.layer)})
	config := text(d.t, set(d.config, nil))
	set(d.configDesc, object{"digest": d.blob(config), "size": len(config)})
	set(d.manifest, object{"config": d.configDesc, "layers": []any{d.layerDesc}})
	data := text(d.t, d.manifest)
	d.put(data, tags...)
	return object{"mediaType": v1.MediaTypeImageManifest, "digest": digest.FromBytes(data), "size": len(data)}
}

// put puts a manifest or list on the shelf.
func (d *draft) put(data []byte, tags ...string) {
	header := d.header.Clone()
	if d.contentType != "" {
		header.Set("Content-Type", d.contentType)
	}
	for _, version := range append(tags, digest.FromBytes(data).String()) {
		d.shelf["/v2/"+d.repo+"/manifests/"+version] = answer{header: header, body: data}
	}
}

// list puts a list of the entries on the shelf under the tag v1.
func (d *draft) list(change object, entries ...object) {
	d.contentType = v1.MediaTypeImageIndex
	l := object{"schemaVersion": 2, "mediaType": v1.MediaTypeImageIndex}
	for k, v := range change {
		l[k] = v
	}
	if mt, ok := l["mediaType"].(string); ok {
		d.contentType = mt
	}
	all := make([]any, 0, len(entries))
	for _, e := range entries {
		all = append(all, e)
	}
	d.put(text(d.t, set(l, object{"manifests": all})), "v1")
}

// on returns a descriptor with a platform.
func on(desc object, os, arch string, more ...string) object {
	platform := object{"os": os, "architecture": arch}
	if len(more) > 0 {
		platform["variant"] = more[0]
	}
	desc["platform"] = platform
	return desc
}

func text(t testing.TB, v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func gz(data []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(data)
	_ = w.Close()
	return out.Bytes()
}

func zst(t testing.TB, data []byte, options ...zstd.EOption) []byte {
	w, err := zstd.NewWriter(nil, options...)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

// pipe is data through a program.
func pipe(t testing.TB, data []byte, program string, args ...string) []byte {
	cmd := exec.Command(program, args...)
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	return out
}
