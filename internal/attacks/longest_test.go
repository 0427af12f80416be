//go:build attacks

package attacks

import (
	"archive/tar"
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/imagelist/file"
)

// document is a text of many records, to a length.
type document struct {
	before, after string
	n             int // records; 0 is as many as have place in size
	each          func(i int) string
	size          int // of the whole, which is filled with blanks; 0 is as long as it is
}

// write writes the document to w.
func (d document) write(w io.Writer) error {
	b := bufio.NewWriter(w)
	written, _ := b.WriteString(d.before) // Flush has the error
	for i := 0; d.n == 0 || i < d.n; i++ {
		one := d.each(i)
		if d.n == 0 && written+len(one)+len(d.after) > d.size {
			break
		}
		_, _ = b.WriteString(one)
		written += len(one)
	}
	if _, err := io.Copy(b, &repeated{each: " ", left: max(0, d.size-written-len(d.after))}); err != nil {
		return err
	}
	_, _ = b.WriteString(d.after)
	return b.Flush()
}

// file writes the document to a new file of that name.
func (d document) file(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	d.put(t, path)
	return path
}

// put writes the document to a file, which may be there.
func (d document) put(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	must(t, d.write(f))
	must(t, f.Close())
}

// longer is the document with a byte more.
func (d document) longer() document {
	d.size++
	return d
}

// number is a digest of a number.
func number(i int) digest.Digest { return digest.Digest(fmt.Sprintf("sha256:%064x", i)) }

// TestLongestLists reads list documents, and lists of tags, as long as they may be.
func TestLongestLists(t *testing.T) {
	const most = 32 << 20
	entry := func(i int) string {
		return fmt.Sprintf(`,{"ref":"registry.example.com/operators/image-%d@%s","digest":%q,"from":[{"source":"file","name":"images.lst:%d"}]}`, i, number(i), number(i), i)
	}
	head := `{"format":"` + imagelist.FormatV1 + `","images":[{"ref":"registry.example.com/a/b@` + number(1).String() + `"`
	images := document{before: head + `}`, after: `]}`, n: imagelist.MaxImages - 1, each: entry, size: most}
	tags := document{n: file.MaxLines, each: func(i int) string { return fmt.Sprintf("registry.example.com/a/b:v%d@%s\n", i, number(1)) }}
	for _, c := range []struct {
		name string
		document
		file, says string
		exit       int
		args       []string
	}{
		{"a document of 32 MiB, 100,000 images: list --json", images, "x.json", "", 0, []string{"--json"}},
		{"a document of 32 MiB and a byte: list --json", images.longer(), "x.json", "more than 33554432 bytes", 1, []string{"--json"}},
		{"a document of 32 MiB, one image found at 290,000 places: list --json", document{
			before: head + `,"from":[{"source":"cluster"}`, after: `]}]}`, n: 290_000, size: most, each: func(i int) string {
				return fmt.Sprintf(`,{"source":"cluster","kind":"Pod","namespace":"n%d","object":"p%d"}`, i%300, i)
			},
		}, "x.json", "", 0, []string{"--json"}},
		{"250,000 tags of one image: list --json", tags, "x.lst", "", 0, []string{"--json"}},
		{"250,001 tags of one image: list --json", document{n: tags.n + 1, each: tags.each}, "x.lst", "more than 250000 lines", 1, []string{"--json"}},
	} {
		if c.name[:7] == "250,001" && !*large {
			continue
		}
		args := append([]string{"list", "--images", c.document.file(t, c.file)}, c.args...)
		attack{Name: "memory: a list: " + c.name, Before: "not tried", Exit: c.exit, Says: c.says}.run(t, args...)
	}
}

// TestLongestReferences has an image-references of 16 MiB.
func TestLongestReferences(t *testing.T) {
	d := document{
		before: `{"kind":"ImageStream","apiVersion":"image.openshift.io/v1","metadata":{"name":"4.20.1"},"spec":{"tags":[{"name":"x"}`, after: "]}}", size: 16 << 20,
		each: func(i int) string {
			return fmt.Sprintf(`,{"name":"c-%d","from":{"kind":"DockerImage","name":"quay.io/openshift-release-dev/ocp-v4.0-art-dev@%s"}}`, i, number(i))
		},
	}
	attack{Name: "records: an image-references of 16 MiB: list", Before: "not tried"}.
		run(t, "list", "--release-file", d.file(t, "image-references"))
	attack{Name: "records: an image-references of 16 MiB and a byte: list", Before: "not tried", Exit: 1, Says: "longer than 16777216 bytes"}.
		run(t, "list", "--release-file", d.longer().file(t, "image-references"))
}

// TestLongestDumps audits dumps of a cluster: more pods than are kept, and objects as long as one may be.
func TestLongestDumps(t *testing.T) {
	pod := func(i int) string {
		return fmt.Sprintf(`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"pod-%d","namespace":"ns-%d"},"spec":{"nodeName":"n%d","containers":[{"name":"c","image":"registry.example.com/a/image-%d@%s"}]}}`,
			i, i%300, i%100, i%90_000, number(i%90_000)) + ",\n"
	}
	long := document{before: `{"kind":"List","items":[{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x","namespace":"y"},"data":{"k":"v"`, after: `}}]}`, size: 16 << 20,
		each: func(i int) string {
			return fmt.Sprintf(`,"k%d":"quay.io/a/image-%d@%s"`, i, i, number(i))
		}}
	containers := document{before: `{"kind":"List","items":[{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x","namespace":"y"},"spec":{"containers":[{"name":"c"}`, after: `]}}]}`, size: 16 << 20,
		each: func(i int) string {
			return fmt.Sprintf(`,{"name":"c%d","image":"registry.example.com/a-repository-with-a-name-of-some-length-as-operators-have/b-%d:v1"}`, i, i)
		}}
	for _, c := range []struct {
		name, says string
		exit       int
		document
	}{
		{"130,000 pods of 90,000 images", "others are not looked at", 3, document{before: `{"kind":"List","apiVersion":"v1","items":[`, after: `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"x"}}]}`, n: 130_000, each: pod}},
		{"an object of 16 MiB, 140,000 images", "others are not looked at", 3, long},
		{"an object of 17 MiB", "an object of more than 16 MiB", 1, document{before: long.before, after: long.after, size: 17 << 20, each: long.each}},
		{"a pod of 16 MiB, 140,000 containers", "others are not looked at", 3, containers},
	} {
		if c.name[:19] == "an object of 16 MiB" && !*large {
			continue
		}
		attack{Name: "memory: " + c.name + ": audit", Before: "not tried", Exit: c.exit, Says: c.says}.run(t, "audit", "--objects", c.document.file(t, "objects.json"))
	}
}

// TestLongestIndexes has a registry's manifest list of 8 MiB, and one of a byte more.
func TestLongestIndexes(t *testing.T) {
	index := document{before: `{"schemaVersion":2,"mediaType":"` + v1.MediaTypeImageIndex + `","manifests":[{}`, after: `]}`, size: bundle.MaxSmallBlob,
		each: func(i int) string {
			return fmt.Sprintf(`,{"mediaType":%q,"digest":%q,"size":1,"platform":{"architecture":"a%d","os":"linux"}}`, v1.MediaTypeImageManifest, number(i), i)
		}}
	layers := document{before: `{"schemaVersion":2,"mediaType":"` + v1.MediaTypeImageManifest + `","config":{"mediaType":"` + v1.MediaTypeImageConfig + `","digest":"` + number(0).String() +
		`","size":1},"layers":[{"mediaType":"` + v1.MediaTypeImageLayer + `","digest":"` + number(0).String() + `","size":1}`, after: `]}`, size: bundle.MaxSmallBlob,
		each: func(i int) string {
			return fmt.Sprintf(`,{"mediaType":%q,"digest":%q,"size":1}`, v1.MediaTypeImageLayer, number(i))
		}}
	for _, c := range []struct {
		name, mediaType, says string
		document
	}{
		{"an index of 8 MiB", v1.MediaTypeImageIndex, "", index},
		{"an index of 8 MiB and a byte", v1.MediaTypeImageIndex, "more than 8388608", index.longer()},
		{"a manifest of 8 MiB, 50,000 layers", v1.MediaTypeImageManifest, "", layers},
		{"a manifest of 8 MiB and a byte", v1.MediaTypeImageManifest, "more than 8388608", layers.longer()},
	} {
		path := c.document.file(t, "manifest.json")
		d, _ := measure(t, func() io.Reader { f, err := os.Open(path); must(t, err); t.Cleanup(func() { f.Close() }); return f })
		host, conf := registry(t, nil, func(w http.ResponseWriter, p string) bool {
			if !strings.HasSuffix(p, d.String()) {
				return false
			}
			w.Header().Set("Content-Type", c.mediaType)
			f, err := os.Open(path)
			if err == nil {
				_, _ = io.Copy(w, f)
				_ = f.Close()
			}
			return true
		})
		dir := t.TempDir()
		attack{Name: "network: " + c.name + ": bundle", Before: "not tried", Exit: 1, Says: c.says}.run(t, "bundle", "--registries-conf", conf,
			"--images", write(t, "images.lst", host+"/a/b@"+d.String()+"\n"), "--work", filepath.Join(dir, "work"), "-o", filepath.Join(dir, "x.tar.zst"))
	}
}

// TestLongestArchives has archives of images whose index is as long as it may be, or names large
// files very often.
func TestLongestArchives(t *testing.T) {
	const most = 4 << 20
	blank := strings.Repeat(" ", bundle.MaxSmallBlob-2)
	config := func(i int) string {
		text := fmt.Sprintf(`{"architecture":"amd64","os":"linux","x":"%d","rootfs":{"type":"layers","diff_ids":[]}}`, i)
		return text + blank[:len(blank)-len(text)]
	}
	configs := document{before: `[{"Config":"0","RepoTags":["quay.io/a/b:x"]}`, after: `]`, n: 40, each: func(i int) string { return fmt.Sprintf(`,{"Config":"%d","RepoTags":["quay.io/a/b:%d"]}`, i, i) }}
	often := document{before: `[{"Config":"0","RepoTags":["quay.io/a/b:1"]}`, after: `]`, n: 30_000, each: func(int) string { return `,{"Config":"0"}` }}
	manifest := `{"schemaVersion":2,"mediaType":"` + v1.MediaTypeImageManifest + `"}` + blank[:len(blank)-200]
	d := digest.FromString(manifest)
	entry := fmt.Sprintf(`{"digest":%q,"annotations":{%q:"quay.io/a/b:`, d, v1.AnnotationRefName)
	index := document{before: `{"manifests":[` + entry + `x"}}`, after: `]}`, size: most, each: func(i int) string { return "," + entry + fmt.Sprint(i) + `"}}` }}
	for _, c := range []struct {
		name, says string
		exit       int
		index      string
		document
		files map[string]string
	}{
		{"a docker archive of 40 configurations of 8 MiB", "", 0, "manifest.json", configs, nil},
		{"a docker archive that names a configuration of 8 MiB 30,000 times", "", 0, "manifest.json", often, nil},
		{"an OCI archive whose index of 4 MiB names a manifest of 8 MiB in all of its entries", "", 0, "index.json", index, map[string]string{"oci-layout": `{"imageLayoutVersion":"1.0.0"}`, "blobs/sha256/" + d.Encoded(): manifest}},
		{"an OCI archive whose index has 4 MiB and a byte", "more than 4194304 bytes", 4, "index.json", index.longer(), map[string]string{"oci-layout": `{"imageLayoutVersion":"1.0.0"}`}},
	} {
		path := filepath.Join(t.TempDir(), "x.tar")
		f, err := os.Create(path)
		must(t, err)
		w := tar.NewWriter(f)
		add := func(name, text string) {
			must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(text))}))
			_, err := io.WriteString(w, text)
			must(t, err)
		}
		var text strings.Builder
		must(t, c.document.write(&text))
		add(c.index, text.String())
		for name, text := range c.files {
			add(name, text)
		}
		if c.files == nil {
			for i := range 40 {
				add(fmt.Sprint(i), config(i))
			}
		}
		must(t, w.Close())
		must(t, f.Close())
		attack{Name: "bombs: " + c.name + ": list", Before: "not tried", Exit: c.exit, Says: c.says}.run(t, "list", "--from-layout", path)
	}
}
