package answer

import (
	"strings"
	"testing"

	"go.podman.io/image/v5/docker/reference"
)

const hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestParse(t *testing.T) {
	t.Parallel()
	g := newGrammar()
	for _, test := range []struct {
		path string
		want route
	}{
		{"/v2", route{kind: kindBase}},
		{"/v2/", route{kind: kindBase}},
		{"/v2/a/manifests/latest", route{kind: kindManifest, name: "a", tag: "latest"}},
		{"/v2/a/b/c/manifests/sha256:" + hex, route{kind: kindManifest, name: "a/b/c", digest: "sha256:" + hex}},
		{"/v2/manifests/manifests/manifests/manifests", route{kind: kindManifest, name: "manifests/manifests", tag: "manifests"}},
		{"/v2/a/blobs/sha256:" + hex, route{kind: kindBlob, name: "a", digest: "sha256:" + hex}},
		{"/v2/a/tags/list", route{kind: kindTags, name: "a"}},
		{"/v2/a/referrers/sha256:" + hex, route{kind: kindReferrers, name: "a", digest: "sha256:" + hex}},
		{"/v2/h_5000/a/manifests/1", route{kind: kindManifest, name: "h_5000/a", tag: "1"}},
	} {
		if got, err := g.parse(test.path); err != nil || got != test.want {
			t.Errorf("%s: %+v, %v, want %+v", test.path, got, err, test.want)
		}
	}
	for _, path := range []string{
		"", "/", "/v1/", "/v2x/a/tags/list", "/v2/a", "/v2/manifests/latest", "/v2//manifests/latest", "/v2/a//b/manifests/latest",
		"/v2/a/manifests/", "/v2/a/manifests/-x", "/v2/a/manifests/" + strings.Repeat("x", 129), "/v2/a/blobs/latest", "/v2/a/blobs/sha256:zz",
		"/v2/a/blobs/uploads/", "/v2/A/tags/list", "/v2/../tags/list", "/v2/a/tags/other", "/v2/" + strings.Repeat("a", 600) + "/tags/list",
		"/v2/a/blobs/md5:d41d8cd98f00b204e9800998ecf8427e",
	} {
		if got, err := g.parse(path); err == nil {
			t.Errorf("%q is %+v, want an error", path, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, path := range []string{"/v2/", "/v2/a/b/manifests/latest", "/v2/a/blobs/sha256:" + hex, "/v2/a/tags/list", "/v2/\x00/../manifests/%2e"} {
		f.Add(path)
	}
	g := newGrammar()
	f.Fuzz(func(t *testing.T, path string) {
		r, err := g.parse(path)
		if err != nil || r.kind == kindBase {
			return
		}
		if _, err := reference.WithName("127.0.0.1:5055/" + r.name); err != nil && len(r.name) < 200 {
			t.Errorf("%q: name %q: %v", path, r.name, err)
		}
		if r.digest != "" && r.digest.Validate() != nil {
			t.Errorf("%q: digest %q", path, r.digest)
		}
		if (r.kind == kindTags) != (r.digest == "" && r.tag == "") || r.digest != "" && r.tag != "" {
			t.Errorf("%q: %+v", path, r)
		}
	})
}
