package imagefile

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/memtest"
	"github.com/nodeseal/nodeseal/internal/whatis"
)

// archive is a tar of files with the names and contents; a content that begins with -> is a
// link.
func archive(t testing.TB, files ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for i := 0; i < len(files); i += 2 {
		h := &tar.Header{Name: files[i], Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(files[i+1]))}
		if link, ok := strings.CutPrefix(files[i+1], "->"); ok {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, link, 0
		}
		err := w.WriteHeader(h)
		if err == nil && h.Size > 0 {
			_, err = w.Write([]byte(files[i+1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// docker is a docker archive of an image with one layer, whose plain tar is of the content.
func docker(t testing.TB, tags, layer, plain string) []byte {
	t.Helper()
	config := fmt.Sprintf(`{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[%q]}}`, digest.FromString(plain))
	return archive(t, "c.json", config, "l.tar", layer, "manifest.json", `[{"Config":"c.json","RepoTags":[`+tags+`],"Layers":["l.tar"]}]`)
}

// oci is an OCI archive with an index of the manifests, and further files.
func oci(t testing.TB, index string, files ...string) []byte {
	t.Helper()
	return archive(t, append([]string{"oci-layout", `{"imageLayoutVersion":"1.0.0"}`, "index.json", `{"manifests":[` + index + `]}`}, files...)...)
}

func blobName(content string) string { return "blobs/sha256/" + digest.FromString(content).Encoded() }

func open(t *testing.T, spec string, data []byte) (*File, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.tar")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return Open(t.Context(), strings.ReplaceAll(spec, "PATH", path))
}

// TestNames holds under which names the images of a file are in the list.
func TestNames(t *testing.T) {
	t.Parallel()
	manifest := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}`
	d := digest.FromString(manifest)
	entry := func(annotations string) string {
		return fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"size":%d,"annotations":{%s}}`, d, len(manifest), annotations)
	}
	layout := func(entries ...string) []byte {
		return oci(t, strings.Join(entries, ","), blobName(manifest), manifest)
	}
	const refName = `"org.opencontainers.image.ref.name":`
	for name, c := range map[string]struct {
		spec  string
		data  []byte
		names string
	}{
		"the whole reference":               {"PATH", layout(entry(refName + `"quay.io/a/b:1"`)), "quay.io/a/b:1"},
		"as docker and buildx say it":       {"oci-archive:PATH", layout(entry(refName + `"1","io.containerd.image.name":"docker.io/library/b:1"`)), "docker.io/library/b:1"},
		"two names of one image":            {"PATH", layout(entry(refName+`"quay.io/a/b:1"`), entry(refName+`"quay.io/c:2"`)), "quay.io/a/b:1 quay.io/c:2"},
		"its digest":                        {"PATH", layout(entry(refName + `"quay.io/a/b@` + d.String() + `"`)), ""},
		"another digest":                    {"PATH", layout(entry(refName + `"quay.io/a/b@` + digest.FromString("x").String() + `"`)), "! called quay.io/a/b@"},
		"a tag":                             {"PATH", layout(entry(refName + `"1.2"`)), `! the name "1.2", which has no registry`},
		"none":                              {"PATH", layout(entry("")), "! no name"},
		"given":                             {"quay.io/a/b:3=PATH", layout(entry("")), "quay.io/a/b:3"},
		"docker's short names":              {"PATH", docker(t, `"b:1","a/b:2","quay.io/a/b:3"`, "x", "x"), "docker.io/a/b:2 docker.io/library/b:1 quay.io/a/b:3"},
		"docker without a name":             {"docker-archive:PATH", docker(t, "", "x", "x"), "! no name"},
		"docker, an image in two entries":   {"PATH", archive(t, "c.json", `{"rootfs":{"type":"layers","diff_ids":[]}}`, "manifest.json", `[{"Config":"c.json","RepoTags":["quay.io/a/b:1"]},{"Config":"c.json","RepoTags":["quay.io/a/b:2"]}]`), "quay.io/a/b:1 quay.io/a/b:2"},
		"a name that is none":               {"PATH", docker(t, `"\u001b[31m"`, "x", "x"), "! no node would find it"},
		"a signature is no image to a node": {"PATH", layout(entry(refName+`"quay.io/a/b:1"`), entry(refName+`"quay.io/a/b:sha256-`+d.Encoded()+`.sig"`)), "quay.io/a/b:1"},
	} {
		f, err := open(t, c.spec, c.data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		l, problems := f.List()
		var names []string
		for _, e := range l.Entries() {
			names = append(names, e.Names...)
		}
		want, bad := strings.CutPrefix(c.names, "! ")
		if bad && (len(problems) != 1 || !strings.Contains(problems[0].Error(), want)) || !bad && (len(problems) > 0 || strings.Join(names, " ") != want) {
			t.Errorf("%s: names %q, problems %v", name, names, problems)
		}
	}
}

// TestHostile holds that what contradicts itself, or wants much, is refused.
func TestHostile(t *testing.T) {
	t.Parallel()
	bomb := func() string {
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		_, err := z.Write(make([]byte, 8<<20))
		if err = errors.Join(err, z.Close()); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	many := make([]string, 0, 2*(maxMembers+1))
	for i := range maxMembers + 1 {
		many = append(many, fmt.Sprint(i), "")
	}
	entry := func(d string) string {
		return `{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + d + `","size":1}`
	}
	none := digest.FromString("none").String()
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"a path for a digest":        {oci(t, entry("sha256:../../../etc/passwd")), "digest"},
		"another algorithm":          {oci(t, entry("sha512:"+strings.Repeat("0", 128))), "only sha256"},
		"a manifest that is missing": {oci(t, entry(none)), "blob is missing"},
		"other bytes":                {oci(t, entry(none), "blobs/sha256/"+digest.Digest(none).Encoded(), "{}"), "other bytes"},
		"a large manifest":           {oci(t, entry(none), "blobs/sha256/"+digest.Digest(none).Encoded(), strings.Repeat(" ", 9<<20)), "more than"},
		"a large index":              {archive(t, "oci-layout", "{}", "index.json", strings.Repeat(" ", maxIndex+1)), "more than"},
		"an index of many values":    {archive(t, "oci-layout", "{}", "index.json", `{"manifests":[`+strings.Repeat("{},", 1<<20)+"{}]}"), "too many values"},
		"links in a circle":          {archive(t, "oci-layout", "{}", "index.json", "->index.json"), "is a tar file, not"},
		"no image in the manifest":   {archive(t, "manifest.json", "{}"), "manifest.json"},
		"a link out of it":           {archive(t, "oci-layout", "{}", "index.json", "->../../../etc/hostname"), "is a tar file, not"},
		"many members":               {archive(t, append([]string{"oci-layout", "{}"}, many...)...), "more than 32768 members"},
		"fewer layers":               {archive(t, "c.json", "{}", "manifest.json", `[{"Config":"c.json","Layers":["l"]}]`), "names 1 layers, c.json has 0"},
		"a layer that is missing":    {docker(t, "", "->x", "x"), "blob is missing: layer l.tar"},
		"a configuration of a link":  {archive(t, "c.json", "->/etc/passwd", "manifest.json", `[{"Config":"c.json"}]`), "blob is missing"},
		"a layer that is no gzip":    {docker(t, "", "\x1f\x8bno gzip", "x"), "layer l.tar"},
		"cut off":                    {docker(t, "", strings.Repeat("x", 8<<10), "x")[:4<<10], "cut off in l.tar"},
	} {
		var err error
		memtest.Hold(t, 96<<20, func() { _, err = open(t, "PATH", c.data) })
		if !errors.Is(err, ErrDamaged) && !errors.As(err, new(*whatis.Error)) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What is compressed well is read, and not kept.
	plain := string(make([]byte, 8<<20))
	f, err := open(t, "PATH", docker(t, `"quay.io/a/b:1"`, bomb(), plain))
	if err != nil {
		t.Fatal(err)
	}
	r, err := (&Source{Files: []*File{f}}).Blob(t.Context(), "quay.io/a/b:1", digest.FromString(plain), 8<<20, 4<<20)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, r)
	if err = errors.Join(err, r.Close()); err != nil || n != 4<<20 {
		t.Errorf("%d bytes from the middle of a layer on, %v", n, err)
	}
}

// FuzzOpen holds that any file is read within bounds, and that its names are references.
func FuzzOpen(f *testing.F) {
	manifest := `{"schemaVersion":2}`
	f.Add(docker(f, `"b:1"`, "x", "x"))
	f.Add(docker(f, `"b:1"`, "->c.json", "x"))
	f.Add(oci(f, `{"digest":"`+digest.FromString(manifest).String()+`","annotations":{"io.containerd.image.name":"quay.io/a/b:1"}}`, blobName(manifest), manifest))
	f.Add(archive(f, storageFiles()...))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<20 {
			return
		}
		path := filepath.Join(t.TempDir(), "a.tar")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		memtest.Hold(t, 16*int64(len(data))+64<<20, func() {
			file, err := Open(t.Context(), path)
			if err != nil {
				return
			}
			_ = file.digestOf("quay.io/acme/app:1.2")
			l, _ := file.List()
			for _, e := range l.Entries() {
				if e.Digest == "" || !strings.HasSuffix(e.Ref, "@"+e.Digest.String()) {
					t.Errorf("entry %+v", e)
				}
			}
		})
	})
}
