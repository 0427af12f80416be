package pull_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/internal/pull"
	"github.com/nodeseal/nodeseal/internal/signtest"
)

// gone is an address at which nobody listens.
const gone = "127.0.0.1:9"

// TestAttached: the tag that belongs to a digest is asked of the places that the
// digest is asked of, and the place that gave the manifest has the last word.
func TestAttached(t *testing.T) {
	t.Parallel()
	key, _ := signtest.Key(t)
	for name, tt := range map[string]struct {
		mirror, source bool // which one has the image, and so the signature
		sigMirror      bool
		sigSource      bool
		trouble        func(mirror, source *fakeRegistry) // after the manifest
		dead           bool                               // the source is
		want           error
		waits          bool
	}{
		"at the mirror":                      {mirror: true, sigMirror: true, source: true},
		"at the source only":                 {mirror: true, source: true, sigSource: true},
		"nowhere":                            {mirror: true, source: true, want: pull.ErrNotFound},
		"the mirror lacks the image":         {source: true, sigSource: true},
		"the source is gone":                 {mirror: true, dead: true, sigMirror: true},
		"nowhere, and the source is gone":    {mirror: true, dead: true, want: pull.ErrNotFound},
		"nowhere, and the source is ill":     {mirror: true, source: true, want: pull.ErrNotFound, trouble: func(_, s *fakeRegistry) { s.fail("GET", always, status(503)) }},
		"nowhere, and the source says no":    {mirror: true, source: true, want: pull.ErrNotFound, trouble: func(_, s *fakeRegistry) { s.fail("GET", always, status(403)) }},
		"the mirror is ill for a while":      {mirror: true, sigMirror: true, source: true, waits: true, trouble: func(m, _ *fakeRegistry) { m.fail(".sig", 2, status(503)) }},
		"the mirror stays ill":               {mirror: true, sigMirror: true, source: true, want: errAny, waits: true, trouble: func(m, _ *fakeRegistry) { m.fail(".sig", always, status(500)) }},
		"the mirror that had nothing is ill": {source: true, sigSource: true, trouble: func(m, _ *fakeRegistry) { m.fail("GET", always, status(500)) }},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			mirror, source := plain(t), plain(t)
			var at []*fakeRegistry
			if tt.mirror {
				at = append(at, mirror)
			}
			if tt.source {
				at = append(at, source)
			}
			img := push(t, "acme/app", "v1", 10, at...)
			sig := signtest.Sigstore(t, key, "quay.example/acme/app", img.manifest)
			for r, has := range map[*fakeRegistry]bool{mirror: tt.sigMirror, source: tt.sigSource} {
				if has {
					signtest.Push(t, r.host, "acme/app", sig, sig.Tag)
				}
			}
			to := source.host
			if tt.dead {
				to = gone
			}
			c, n := newClient(t, pull.Options{RegistriesConf: writeFile(t, "registries.conf", fmt.Sprintf(
				"[[registry]]\nprefix = \"quay.example\"\nlocation = %q\n[[registry.mirror]]\nlocation = %q\npull-from-mirror = \"digest-only\"\n", to, mirror.host))})
			ref := "quay.example/acme/app@" + img.manifest.String()
			if _, err := c.Manifest(t.Context(), ref); err != nil {
				t.Fatal(err)
			}
			if tt.trouble != nil {
				tt.trouble(mirror, source)
			}
			m, err := c.Attached(t.Context(), ref, sig.Tag)
			switch {
			case tt.want == nil && (err != nil || m.Digest != sig.Digest()):
				t.Errorf("%s, %v", m.Digest, err)
			case errors.Is(tt.want, errAny) && (err == nil || errors.Is(err, pull.ErrNotFound)):
				t.Errorf("%v", err)
			case tt.want != nil && !errors.Is(tt.want, errAny) && !errors.Is(err, tt.want):
				t.Errorf("%v, want %v", err, tt.want)
			}
			if (len(n.list) > 0) != tt.waits {
				t.Errorf("waits %v", n.list)
			}
		})
	}
}

// errAny stands for an error that is not ErrNotFound.
var errAny = errors.New("any error")

// index answers with referrers, a page each.
func index(pages ...[]ocispec.Descriptor) fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		page := len(r.URL.Query().Get("page"))
		if page+1 < len(pages) {
			w.Header().Set("Link", fmt.Sprintf(`<http://elsewhere.example%s?page=%s>; rel="next"`, r.URL.Path, strings.Repeat("x", page+1)))
		}
		w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
		_ = json.NewEncoder(w).Encode(ocispec.Index{Versioned: ocispecs.Versioned{SchemaVersion: 2}, Manifests: pages[page]})
	}
}

// TestReferrers: of the API, page after page, of the tag where there is none, and
// none where there are none.
func TestReferrers(t *testing.T) {
	t.Parallel()
	one := []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("a"), Size: 1}}
	two := []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("b"), Size: 1}}
	web := func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { _, _ = w.Write([]byte("<html>")) }
	for name, tt := range map[string]struct {
		api, tag fault
		want     int
		err      bool
	}{
		"api":               {api: index(one), want: 1},
		"pages":             {api: index(one, two), want: 2},
		"empty":             {api: index(nil), tag: index(one), want: 0}, // it has the API: the tag is somebody's
		"404 and a tag":     {api: status(404), tag: index(one), want: 1},
		"400 and a tag":     {api: status(400), tag: index(one), want: 1},
		"405 and no tag":    {api: status(405)},
		"a page for people": {api: web, tag: index(one), want: 1},
		"500":               {api: status(500), tag: index(one), err: true},
		"endless":           {api: func(w http.ResponseWriter, r *http.Request, _ http.Handler) { index(one, two)(w, withoutQuery(r), nil) }, err: true},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			r := plain(t)
			img := push(t, "acme/app", "v1", 10, r)
			r.fail("/referrers/", always, tt.api)
			if tt.tag != nil {
				r.fail("/manifests/sha256-", always, tt.tag)
			}
			c, _ := newClient(t, pull.Options{RegistriesConf: conf(t, "", r.host)})
			ref := "quay.example/acme/app@" + img.manifest.String()
			for range 2 { // again, with what it learned of the registry
				if _, err := c.Manifest(t.Context(), ref); err != nil {
					t.Fatal(err)
				}
				got, err := c.Referrers(t.Context(), ref)
				if (err != nil) != tt.err || len(got) != tt.want {
					t.Errorf("%v, %v", got, err)
				}
			}
			if strings.Contains(name, "40") && len(r.asked("/referrers/")) != 1 {
				t.Errorf("the API that is not there was asked %d times", len(r.asked("/referrers/")))
			}
		})
	}
	c, _ := newClient(t, pull.Options{})
	if _, err := c.Referrers(t.Context(), "quay.example/acme/app:v1"); err == nil {
		t.Error("a tag has referrers")
	}
}

func withoutQuery(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	r.URL.RawQuery = ""
	return r
}

// TestLookaside: signatures are where registries.d says, in a directory or on a
// server, of the mirror's own name and of the source's.
func TestLookaside(t *testing.T) {
	t.Parallel()
	d := digest.FromString("image")
	ref := "quay.example/acme/app@" + d.String()
	folder := "/acme/app@sha256=" + d.Encoded() + "/"
	asked := 0
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		switch {
		case strings.HasPrefix(r.URL.Path, "/ill/"):
			w.WriteHeader(http.StatusBadGateway)
		case r.URL.Path == "/sigs"+folder+"signature-1", r.URL.Path == "/sigs"+folder+"signature-2":
			_, _ = w.Write([]byte(filepath.Base(r.URL.Path)))
		case strings.HasPrefix(r.URL.Path, "/endless/"):
			_, _ = w.Write([]byte("x"))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(web.Close)
	dir := t.TempDir()
	if err := os.MkdirAll(dir+folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+folder+"signature-1", []byte("file"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		mirror, source string
		want           string
		err            bool
	}{
		"a server":            {source: web.URL + "/sigs", want: "[signature-1 signature-2]"},
		"a directory":         {source: "file://" + dir, want: "[file]"},
		"the mirror's":        {mirror: "file://" + dir, source: web.URL + "/sigs", want: "[file]"},
		"none at the mirror":  {mirror: web.URL + "/none", source: "file://" + dir, want: "[file]"},
		"none":                {source: web.URL + "/none", want: "[]"},
		"ill":                 {source: web.URL + "/ill", want: "[]", err: true},
		"ill, but the source": {mirror: web.URL + "/ill", source: "file://" + dir, want: "[file]"},
		"nobody there":        {source: "http://" + gone, want: "[]", err: true},
		"too many":            {source: web.URL + "/endless", want: "[]", err: true},
		"another scheme":      {source: "ftp://x/y", want: "[]", err: true},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			conf := t.TempDir()
			text := fmt.Sprintf("docker:\n  quay.example: {lookaside: %q}\n", tt.source)
			if tt.mirror != "" {
				text += fmt.Sprintf("  mirror.example: {lookaside: %q}\n", tt.mirror)
			}
			if err := os.WriteFile(filepath.Join(conf, "x.yaml"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			c, _ := newClient(t, pull.Options{RegistriesDir: conf, RegistriesConf: writeFile(t, "registries.conf",
				"[[registry]]\nprefix = \"quay.example\"\nlocation = \"quay.example\"\n[[registry.mirror]]\nlocation = \"mirror.example\"\n")})
			got, err := c.Lookaside(t.Context(), ref)
			if fmt.Sprintf("%s", got) != tt.want || (err != nil) != tt.err {
				t.Errorf("%s, %v", got, err)
			}
			if tt.source != "http://"+gone {
				return
			}
			var e *pull.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), gone) {
				t.Errorf("%v", err)
			}
			if _, err := c.Lookaside(t.Context(), ref); err == nil || !strings.Contains(err.Error(), "not asked again") {
				t.Errorf("asked again: %v", err)
			}
		})
	}
}
