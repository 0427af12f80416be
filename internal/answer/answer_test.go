package answer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
)

// writeStore writes the store of src into dir, without the contents of layers.
func writeStore(t testing.TB, dir string, src *storetest.Source, change func(*bundle.Inventory)) {
	t.Helper()
	plan, err := store.NewPlan(t.Context(), src, store.Selection{Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	facts := make(map[digest.Digest]store.Facts)
	for _, l := range plan.Layers {
		facts[l.DiffID] = store.Facts{DiffSize: l.DiffSize}
	}
	inv := *src.Inventory()
	if change != nil {
		change(&inv)
	}
	raw, err := inv.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	files, err := plan.Files(facts, raw)
	if err != nil {
		t.Fatal(err)
	}
	for f := range files {
		if f.Link != "" || f.Dir {
			continue
		}
		if f.Blob != "" {
			if f.Content, err = src.ReadBlob(t.Context(), f.Blob); err != nil {
				t.Fatal(err)
			}
		}
		put(t, filepath.Join(dir, f.Path), f.Content)
	}
}

func put(t testing.TB, path string, data []byte) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// fixture is a store with images of several repositories, one of them signed.
type fixture struct {
	dir                 string
	app, listed, ported *bundle.Image
	sig, payload, note  v1.Descriptor
	simple              v1.Descriptor
	unrelated           digest.Digest
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{dir: t.TempDir(), unrelated: digest.FromString("unrelated")}
	src := storetest.NewSource(t, bundle.Expanded)
	layers := [][]byte{bytes.Repeat([]byte("layer"), 512)}
	app := *src.Add(storetest.Image{Repository: "quay.io/team/app", Tags: []string{"v1", "v2"}, Layers: layers, Compression: "gzip"})
	listed := *src.Add(storetest.Image{Repository: "docker.io/library/listed", Tags: []string{"latest"}, Index: true, Labels: map[string]string{"a": "b"}})
	ported := *src.Add(storetest.Image{Repository: "registry.example:5000/team/app", Tags: []string{"v1", "only"}, Labels: map[string]string{"c": "d"}})
	f.app, f.listed, f.ported = &app, &listed, &ported
	f.payload = f.attach(t, "application/vnd.dev.cosign.simplesigning.v1+json", "payload")
	config := f.attach(t, v1.MediaTypeImageConfig, "{}")
	f.sig = f.attachJSON(t, v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest, Config: config, Layers: []v1.Descriptor{f.payload}})
	f.note = f.attachJSON(t, v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest, ArtifactType: "text/note",
		Config: config, Subject: &v1.Descriptor{MediaType: app.MediaType, Digest: app.Digest}, Annotations: map[string]string{"k": "v"},
	})
	f.simple = f.attach(t, "", "an OpenPGP message")
	writeStore(t, f.dir, src, func(inv *bundle.Inventory) {
		for i := range inv.Images {
			if inv.Images[i].Ref == app.Ref {
				inv.Images[i].Attachments = []bundle.Attachment{
					{Kind: "sigstore", Tag: f.sigTag(), Digest: f.sig.Digest, Blobs: []digest.Digest{config.Digest, f.payload.Digest}},
					{Kind: "referrer", Digest: f.note.Digest, Blobs: []digest.Digest{config.Digest}},
					{Kind: "release-signature", Key: bundle.SignatureKey(app.Digest, 1), Digest: f.simple.Digest},
				}
			}
		}
		for _, d := range []v1.Descriptor{f.payload, config, f.sig, f.note, f.simple} {
			inv.Blobs = append(inv.Blobs, bundle.Blob{Digest: d.Digest, Size: d.Size, Kind: bundle.KindAttachment})
		}
	})
	return f
}

func (f *fixture) sigTag() string { return "sha256-" + f.app.Digest.Encoded() + ".sig" }

func (f *fixture) attach(t testing.TB, mediaType, data string) v1.Descriptor {
	d := digest.FromString(data)
	put(t, filepath.Join(f.dir, "nodeseal/blobs/sha256", d.Encoded()), []byte(data))
	return v1.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
}

func (f *fixture) attachJSON(t testing.TB, m v1.Manifest) v1.Descriptor {
	t.Helper()
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return f.attach(t, m.MediaType, string(data))
}

func handler(dirs ...string) *Handler { return New(Options{Stores: dirs, Now: time.Now}) }

// ask sends one request and returns the answer.
func ask(h http.Handler, method, path string, header ...string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t testing.TB, resp *http.Response) string {
	t.Helper()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	h := handler(f.dir)
	const oci, octet = v1.MediaTypeImageManifest, "application/octet-stream"
	for _, test := range []struct {
		name, path string
		status     int
		digest     digest.Digest
		mediaType  string
	}{
		{"base", "/v2/", 200, "", "application/json"},
		{"manifest by digest", "/v2/quay.io/team/app/manifests/" + f.app.Digest.String(), 200, f.app.Digest, oci},
		{"digest escaped", "/v2/quay.io/team/app/manifests/sha256%3A" + f.app.Digest.Encoded(), 200, f.app.Digest, oci},
		{"digest in a name it never had", "/v2/other/name/manifests/" + f.app.Digest.String(), 200, f.app.Digest, oci},
		{"tag", "/v2/quay.io/team/app/manifests/v1", 200, f.app.Digest, oci},
		{"tag, host with a port", "/v2/registry.example_5000/team/app/manifests/v1", 200, f.ported.Digest, oci},
		{"tag, ns", "/v2/team/app/manifests/v1?ns=registry.example:5000", 200, f.ported.Digest, oci},
		{"tag, other ns", "/v2/team/app/manifests/v1?ns=quay.io", 200, f.app.Digest, oci},
		{"tag, ns and host", "/v2/quay.io/team/app/manifests/v1?ns=quay.io", 200, f.app.Digest, oci},
		{"tag, unknown ns", "/v2/team/app/manifests/v1?ns=example.com", 404, "", ""},
		{"tag, no host, one has it", "/v2/team/app/manifests/only", 200, f.ported.Digest, oci},
		{"tag, no host, two differ", "/v2/team/app/manifests/v1", 404, "", ""},
		{"list by tag", "/v2/docker.io/library/listed/manifests/latest", 200, f.listed.Index, v1.MediaTypeImageIndex},
		{"list by digest", "/v2/docker.io/library/listed/manifests/" + f.listed.Index.String(), 200, f.listed.Index, v1.MediaTypeImageIndex},
		{"instance of a list", "/v2/docker.io/library/listed/manifests/" + f.listed.Digest.String(), 200, f.listed.Digest, oci},
		{"config", "/v2/quay.io/team/app/blobs/" + f.app.Config.Digest.String(), 200, f.app.Config.Digest, octet},
		{"signature", "/v2/quay.io/team/app/manifests/" + f.sigTag(), 200, f.sig.Digest, oci},
		{"signature by digest", "/v2/quay.io/team/app/manifests/" + f.sig.Digest.String(), 200, f.sig.Digest, oci},
		{"payload", "/v2/quay.io/team/app/blobs/" + f.payload.Digest.String(), 200, f.payload.Digest, octet},
		{"release signature", "/v2/quay.io/team/app/manifests/" + f.simple.Digest.String(), 404, "", ""},
		{"layer", "/v2/quay.io/team/app/blobs/" + f.app.Layers[0].Digest.String(), 404, "", ""},
		{"layer by diff ID", "/v2/quay.io/team/app/blobs/" + f.app.Layers[0].DiffID.String(), 404, "", ""},
		{"unknown manifest", "/v2/quay.io/team/app/manifests/" + f.unrelated.String(), 404, "", ""},
		{"unknown blob", "/v2/quay.io/team/app/blobs/" + f.unrelated.String(), 404, "", ""},
		{"unknown tag", "/v2/quay.io/team/app/manifests/v3", 404, "", ""},
		{"unknown name", "/v2/quay.io/no/such/manifests/v1", 404, "", ""},
		{"bad digest", "/v2/quay.io/team/app/blobs/sha256:abc", 400, "", ""},
		{"bad name", "/v2/quay.io/Team/manifests/v1", 400, "", ""},
		{"no endpoint", "/v2/_catalog", 404, "", ""},
		{"not ours", "/index.html", 404, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			get, head := ask(h, "GET", test.path), ask(h, "HEAD", test.path)
			text := body(t, get)
			for _, resp := range []*http.Response{get, head} {
				if resp.StatusCode != test.status {
					t.Fatalf("status %d, want %d: %s", resp.StatusCode, test.status, text)
				}
				if got := resp.Header.Get("Content-Length"); got != fmt.Sprint(len(text)) {
					t.Errorf("Content-Length %s of %d bytes", got, len(text))
				}
			}
			if left := body(t, head); left != "" {
				t.Errorf("HEAD has a body: %q", left)
			}
			if test.status != 200 {
				wantError(t, text)
				return
			}
			if got := get.Header.Get("Content-Type"); got != test.mediaType {
				t.Errorf("Content-Type %q, want %q", got, test.mediaType)
			}
			if test.digest != "" {
				wantDigest(t, h, test.path, get, text, test.digest)
			}
		})
	}
}

// wantError wants the specification's JSON of errors.
func wantError(t *testing.T, text string) {
	t.Helper()
	var e struct {
		Errors []struct{ Code, Message string } `json:"errors"`
	}
	if err := json.Unmarshal([]byte(text), &e); err != nil || len(e.Errors) != 1 || e.Errors[0].Code == "" || e.Errors[0].Message == "" {
		t.Errorf("no error of the specification (%v): %s", err, text)
	}
}

func wantDigest(t *testing.T, h http.Handler, path string, resp *http.Response, text string, want digest.Digest) {
	t.Helper()
	if got := digest.FromString(text); got != want {
		t.Errorf("the body has the digest %s, want %s", got, want)
	}
	if got := resp.Header.Get("Docker-Content-Digest"); got != want.String() {
		t.Errorf("Docker-Content-Digest %q, want %q", got, want)
	}
	tag := resp.Header.Get("Etag")
	if again := ask(h, "GET", path, "If-None-Match", tag); again.StatusCode != http.StatusNotModified || body(t, again) != "" {
		t.Errorf("with ETag %s: status %d, want 304", tag, again.StatusCode)
	}
}

func TestReadOnly(t *testing.T) {
	t.Parallel()
	h := handler(newFixture(t).dir)
	for _, method := range []string{"PUT", "POST", "PATCH", "DELETE", "OPTIONS"} {
		resp := ask(h, method, "/v2/quay.io/team/app/blobs/uploads/")
		if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d, Allow %q", method, resp.StatusCode, resp.Header.Get("Allow"))
		}
		wantError(t, body(t, resp))
	}
}

func TestTags(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	h := handler(f.dir)
	all := []string{f.sigTag(), "v1", "v2"}
	var got []string
	path := "/v2/quay.io/team/app/tags/list?n=1"
	for range 5 {
		resp := ask(h, "GET", path)
		var page struct {
			Name string
			Tags []string
		}
		if err := json.Unmarshal([]byte(body(t, resp)), &page); err != nil || page.Name != "quay.io/team/app" {
			t.Fatalf("%v: %+v", err, page)
		}
		got = append(got, page.Tags...)
		link, _, ok := strings.Cut(strings.TrimPrefix(resp.Header.Get("Link"), "<"), ">")
		if !ok {
			break
		}
		path = link
	}
	if fmt.Sprint(got) != fmt.Sprint(all) {
		t.Errorf("tags %q, want %q", got, all)
	}
	if resp := ask(h, "GET", "/v2/no/such/tags/list"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("tags of an unknown repository: %d", resp.StatusCode)
	}
}

func TestReferrers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	h := handler(f.dir)
	for _, test := range []struct {
		query string
		of    digest.Digest
		want  int
	}{
		{"", f.app.Digest, 1}, {"?artifactType=text/note", f.app.Digest, 1}, {"?artifactType=other", f.app.Digest, 0}, {"", f.unrelated, 0},
	} {
		resp := ask(h, "GET", "/v2/quay.io/team/app/referrers/"+test.of.String()+test.query)
		var index v1.Index
		if err := json.Unmarshal([]byte(body(t, resp)), &index); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%d, %v", resp.StatusCode, err)
		}
		if index.Manifests == nil || len(index.Manifests) != test.want || index.MediaType != v1.MediaTypeImageIndex {
			t.Errorf("%s%s: %+v, want %d", test.of, test.query, index, test.want)
		}
		if test.want == 1 {
			if m := index.Manifests[0]; m.Digest != f.note.Digest || m.Size != f.note.Size || m.ArtifactType != "text/note" || m.Annotations["k"] != "v" {
				t.Errorf("referrer %+v", m)
			}
		}
		if filtered := resp.Header.Get("OCI-Filters-Applied"); (filtered == "artifactType") != (test.query != "") {
			t.Errorf("%s: OCI-Filters-Applied %q", test.query, filtered)
		}
	}
}

// TestDamage changes a configuration on the disk: it is not answered.
func TestDamage(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	h := handler(f.dir)
	matches, err := filepath.Glob(filepath.Join(f.dir, "overlay-images", f.app.Config.Digest.Encoded(), "*"))
	if err != nil || len(matches) == 0 {
		t.Fatal(matches, err)
	}
	for _, path := range matches {
		put(t, path, []byte("{}"))
	}
	for _, path := range []string{"manifests/" + f.app.Digest.String(), "blobs/" + f.app.Config.Digest.String()} {
		if resp := ask(h, "GET", "/v2/quay.io/team/app/"+path); resp.StatusCode != http.StatusInternalServerError {
			t.Errorf("%s: %d, want 500", path, resp.StatusCode)
		}
	}
}

func TestLog(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var out bytes.Buffer
	h := New(Options{Stores: []string{f.dir}, Now: time.Now, Log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	ask(h, "GET", "/v2/quay.io/team/app/manifests/v1")
	if got := out.String(); !strings.Contains(got, "path=/v2/quay.io/team/app/manifests/v1") || !strings.Contains(got, "status=200") {
		t.Errorf("access log: %s", got)
	}
}

func BenchmarkManifest(b *testing.B) {
	f := newFixture(b)
	h := handler(f.dir, b.TempDir())
	r := httptest.NewRequest("GET", "/v2/quay.io/team/app/manifests/"+f.app.Digest.String(), nil)
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
}
