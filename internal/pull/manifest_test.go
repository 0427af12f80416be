package pull_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/pull"
)

func TestManifestAndHead(t *testing.T) {
	t.Parallel()
	r := plain(t)
	img := push(t, "acme/app", "v1", 1000, r)
	c, _ := newClient(t, pull.Options{})
	repo := r.host + "/acme/app"
	for _, ref := range []string{repo + ":v1", repo + "@" + img.manifest.String(), repo + ":gone@" + img.manifest.String()} {
		m, err := c.Manifest(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		if m.Digest != img.manifest || !bytes.Equal(m.Bytes, img.bytes) || !strings.HasSuffix(m.MediaType, "v2+json") {
			t.Errorf("Manifest(%s) = %s, %s, %d bytes", ref, m.Digest, m.MediaType, len(m.Bytes))
		}
		d, err := c.Head(t.Context(), ref)
		if err != nil || d.Digest != img.manifest || d.Size != int64(len(img.bytes)) || d.MediaType != m.MediaType {
			t.Errorf("Head(%s) = %+v, %v", ref, d, err)
		}
	}
	if n := len(r.asked("GET /v2/")) - len(r.asked("manifests")) + len(r.asked("HEAD")); n != 1 {
		t.Errorf("%d sign-ins for one repository, want 1", n)
	}
}

func TestHeadByGet(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fault{
		"no HEAD": status(http.StatusMethodNotAllowed),
		"no digest": change(func(rec *httptest.ResponseRecorder, body []byte) []byte {
			rec.Header().Del("Docker-Content-Digest")
			return body
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := plain(t)
			img := push(t, "acme/app", "v1", 1000, r)
			r.fail("HEAD", always, f)
			c, _ := newClient(t, pull.Options{})
			d, err := c.Head(t.Context(), r.host+"/acme/app:v1")
			if err != nil || d.Digest != img.manifest || d.Size != int64(len(img.bytes)) {
				t.Fatalf("Head = %+v, %v", d, err)
			}
		})
	}
}

// Each of these passes when it is tried again, and the client waits as it should.
func TestManifestTemporary(t *testing.T) {
	t.Parallel()
	short := change(func(rec *httptest.ResponseRecorder, body []byte) []byte {
		rec.Header().Set("Content-Length", "100000")
		return body
	})
	for _, tt := range []struct {
		name     string
		fault    fault
		min, max time.Duration // of the first wait
	}{
		{"429 with seconds", status(429, "Retry-After", "7"), 7 * time.Second, 8 * time.Second},
		{
			"429 with a date",
			status(429, "Date", "Sun, 06 Nov 1994 08:49:37 GMT", "Retry-After", "Sun, 06 Nov 1994 08:49:49 GMT"),
			12 * time.Second, 13 * time.Second,
		},
		{"429 without", status(429), 250 * time.Millisecond, 500 * time.Millisecond},
		{"503 with seconds", status(503, "Retry-After", "3"), 3 * time.Second, 4 * time.Second},
		{"503", status(503), 250 * time.Millisecond, 500 * time.Millisecond},
		{"500", status(500), 250 * time.Millisecond, 500 * time.Millisecond},
		{"reset", reset, 250 * time.Millisecond, 500 * time.Millisecond},
		{"broken body", breakAfter(10, abort), 250 * time.Millisecond, 500 * time.Millisecond},
		{"short body", short, 250 * time.Millisecond, 500 * time.Millisecond},
		{"stall", stall, 250 * time.Millisecond, 500 * time.Millisecond},
		{"stall in the body", breakAfter(10, untilGone), 250 * time.Millisecond, 500 * time.Millisecond},
	} {
		for _, at := range []string{"GET /v2/acme/app/manifests", "GET /v2/"} {
			t.Run(tt.name+" at "+at, func(t *testing.T) {
				t.Parallel()
				r := plain(t)
				img := push(t, "acme/app", "v1", 1000, r)
				r.fail(at, 2, tt.fault)
				c, n := newClient(t, pull.Options{AfterFunc: r.stalls.afterFunc})
				m, err := c.Manifest(t.Context(), r.host+"/acme/app:v1")
				if err != nil || m.Digest != img.manifest {
					t.Fatalf("Manifest = %s, %v", m.Digest, err)
				}
				if at == "GET /v2/" && len(n.list) == 0 {
					return // the sign-in looks at the status only
				}
				if len(n.list) == 0 || n.list[0] < tt.min || n.list[0] > tt.max {
					t.Errorf("waits %v, want the first between %s and %s", n.list, tt.min, tt.max)
				}
			})
		}
	}
}

// TestWrongDigestHeader: the bytes count, as on nodes. They are held to what was asked for.
func TestWrongDigestHeader(t *testing.T) {
	t.Parallel()
	r := plain(t)
	img := push(t, "acme/app", "v1", 1000, r)
	r.fail("manifests", always, change(func(rec *httptest.ResponseRecorder, body []byte) []byte {
		rec.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))
		return body
	}))
	c, _ := newClient(t, pull.Options{})
	for _, ref := range []string{":v1", "@" + img.manifest.String()} {
		if m, err := c.Manifest(t.Context(), r.host+"/acme/app"+ref); err != nil || m.Digest != img.manifest {
			t.Errorf("%s: %s, %v", ref, m.Digest, err)
		}
	}
}

// TestBlobSize: the registry is asked how long a blob is.
func TestBlobSize(t *testing.T) {
	t.Parallel()
	r := plain(t)
	img := push(t, "acme/app", "v1", 1000, r)
	c, _ := newClient(t, pull.Options{Retries: -1})
	ref := r.host + "/acme/app:v1"
	if n, err := c.BlobSize(t.Context(), ref, img.layer); err != nil || n != img.size() {
		t.Errorf("%d bytes, %v, want %d", n, err, img.size())
	}
	if _, err := c.BlobSize(t.Context(), ref, digest.FromString("x")); !errors.Is(err, pull.ErrNotFound) {
		t.Errorf("a blob that is missing: %v", err)
	}
	r.fail("HEAD", always, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Transfer-Encoding", "chunked")
		w.WriteHeader(http.StatusOK)
	})
	if n, err := c.BlobSize(t.Context(), ref, img.layer); !errors.Is(err, pull.ErrSize) {
		t.Errorf("a registry that does not say: %d, %v", n, err)
	}
}

func TestManifestHopeless(t *testing.T) {
	t.Parallel()
	said := func(contentType string) fault {
		return change(func(rec *httptest.ResponseRecorder, body []byte) []byte {
			rec.Header().Set("Content-Type", contentType)
			return body
		})
	}
	otherBytes := change(func(rec *httptest.ResponseRecorder, body []byte) []byte {
		rec.Header().Del("Docker-Content-Digest")
		return append(body, '\n')
	})
	long := func(header, value string) fault {
		return change(func(rec *httptest.ResponseRecorder, _ []byte) []byte {
			rec.Header().Set(header, value)
			return bytes.Repeat([]byte(" "), bundle.MaxSmallBlob+1)
		})
	}
	for _, tt := range []struct {
		name, ref string
		fault     fault
		want      error
	}{
		{"404", ":v1", status(404), pull.ErrNotFound},
		{"401", ":v1", status(401), pull.ErrUnauthorized},
		{"403", ":v1", status(403), pull.ErrDenied},
		{"400", ":v1", status(400), nil},
		{"wait of an hour", ":v1", status(429, "Retry-After", "3600"), nil},
		{"other bytes", "@", otherBytes, pull.ErrDigest},
		{"other media type", ":v1", said("application/vnd.oci.image.index.v1+json"), pull.ErrMediaType},
		{"no JSON", ":v1", change(func(rec *httptest.ResponseRecorder, _ []byte) []byte {
			rec.Header().Del("Docker-Content-Digest")
			return []byte("<html>login</html>")
		}), pull.ErrMediaType},
		{"too long", ":v1", long("Content-Length", strconv.Itoa(bundle.MaxSmallBlob+1)), pull.ErrSize},
		{"too long, in chunks", ":v1", long("Transfer-Encoding", "chunked"), pull.ErrSize},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := plain(t)
			img := push(t, "acme/app", "v1", 1000, r)
			r.fail("manifests", always, tt.fault)
			ref := r.host + "/acme/app" + tt.ref
			if tt.ref == "@" {
				ref += img.manifest.String()
			}
			c, n := newClient(t, pull.Options{})
			_, err := c.Manifest(t.Context(), ref)
			var e *pull.Error
			if !errors.As(err, &e) || e.Temporary() || (tt.want != nil && !errors.Is(err, tt.want)) {
				t.Fatalf("error %v, want %v, not temporary", err, tt.want)
			}
			if e.Op != pull.OpManifest || e.Ref != ref || len(e.Attempts) != 1 || !strings.Contains(err.Error(), ref) {
				t.Errorf("error %+v", e)
			}
			if got := len(r.asked("manifests")); got != 1 || len(n.list) != 0 {
				t.Errorf("asked %d times with waits %v, want once", got, n.list)
			}
		})
	}
}

func TestManifestGivesUp(t *testing.T) {
	t.Parallel()
	r := plain(t)
	push(t, "acme/app", "v1", 1000, r)
	r.fail("manifests", always, status(503, "Retry-After", "1"))
	for _, retries := range []int{-1, 3} {
		c, n := newClient(t, pull.Options{Retries: retries})
		before := len(r.asked("manifests"))
		_, err := c.Manifest(t.Context(), r.host+"/acme/app:v1")
		var e *pull.Error
		if !errors.As(err, &e) || !e.Temporary() {
			t.Fatalf("error %v, want a temporary one", err)
		}
		want := max(retries, 0)
		if got := len(r.asked("manifests")) - before; got != want+1 || len(n.list) != want || e.Attempts[0].Tries != want+1 {
			t.Errorf("Retries %d: asked %d times, %d waits, %d tries", retries, got, len(n.list), e.Attempts[0].Tries)
		}
	}
}

func TestBackoffGrows(t *testing.T) {
	t.Parallel()
	r := plain(t)
	r.fail("manifests", always, status(503))
	c, n := newClient(t, pull.Options{Retries: 9})
	if _, err := c.Manifest(t.Context(), r.host+"/acme/app:v1"); err == nil {
		t.Fatal("no error")
	}
	want := 500 * time.Millisecond
	for i, d := range n.list {
		if d < want/2 || d > want {
			t.Errorf("wait %d is %s, want %s to %s", i, d, want/2, want)
		}
		want = min(2*want, 30*time.Second)
	}
}

func TestReferencesThatMakeNoSense(t *testing.T) {
	t.Parallel()
	c, _ := newClient(t, pull.Options{})
	for _, ref := range []string{"", "busybox", "quay.io/acme/app", "docker.io/busybox:v1", "quay.io/a@sha512:" + strings.Repeat("0", 128)} {
		_, err := c.Manifest(t.Context(), ref)
		var e *pull.Error
		if err == nil || errors.As(err, &e) {
			t.Errorf("Manifest(%q) = %v, want an error about the reference", ref, err)
		}
	}
}
