package pull

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"go.podman.io/image/v5/docker/reference"

	"github.com/nodeseal/nodeseal/internal/pull/mirrors"
)

func TestTemporary(t *testing.T) {
	t.Parallel()
	dial := func(err error) error {
		return &url.Error{Op: "Get", URL: "https://h/", Err: &net.OpError{Op: "dial", Err: err}}
	}
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("any"), false},
		{dial(syscall.ECONNREFUSED), true},
		{dial(syscall.EHOSTUNREACH), true},
		{dial(syscall.EPERM), false},
		{dial(&net.DNSError{IsNotFound: true}), false},
		{dial(&net.DNSError{IsTimeout: true}), true},
		{dial(context.DeadlineExceeded), true}, // net's own timeout
		{&url.Error{Op: "Get", Err: io.EOF}, true},
		{&url.Error{Op: "Get", Err: x509.UnknownAuthorityError{}}, false},
		{&url.Error{Op: "Get", Err: x509.HostnameError{Certificate: &x509.Certificate{}, Host: "h"}}, false},
		{&url.Error{Op: "Get", Err: http.ErrSchemeMismatch}, false},
		{&url.Error{Op: "Get", Err: errors.New("stopped after 10 redirects")}, false},
		{fmt.Errorf("reading: %w", io.ErrUnexpectedEOF), true},
		{fmt.Errorf("reading: %w", syscall.ECONNRESET), true},
		{fmt.Errorf("x: %w", ErrStalled), true},
		{ErrDigest, false},
		{&StatusError{Status: 408}, true},
		{&StatusError{Status: 429}, true},
		{&StatusError{Status: 429, retryAfter: maxRetryAfter + 1}, false},
		{&StatusError{Status: 500}, true},
		{&StatusError{Status: 501}, false},
		{&StatusError{Status: 502}, true},
		{&StatusError{Status: 400}, false},
		{&StatusError{Status: 401}, false},
		{&StatusError{Status: 404}, false},
	} {
		if got := temporary(tt.err); got != tt.want {
			t.Errorf("temporary(%v) = %t, want %t", tt.err, got, tt.want)
		}
	}
}

func TestVerdict(t *testing.T) {
	t.Parallel()
	notFound, denied, busy := &StatusError{Status: 404}, &StatusError{Status: 403}, &StatusError{Status: 503}
	noHost := &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}
	refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	for _, tt := range []struct {
		name string
		errs []error
		want error
	}{
		{"the only one", []error{denied}, denied},
		{"the last one", []error{denied, ErrDigest}, ErrDigest},
		{"anything before not found", []error{denied, notFound}, denied},
		{"an answer before no connection", []error{denied, noHost}, denied},
		{"an answer before no connection that may pass", []error{denied, refused}, denied},
		{"no connection before not found", []error{notFound, refused}, refused},
		{"what may pass before no connection", []error{busy, noHost}, busy},
		{"what may pass before all", []error{busy, denied, notFound}, busy},
	} {
		var attempts []Attempt
		for _, err := range tt.errs {
			attempts = append(attempts, Attempt{Err: err})
		}
		if got := verdict(attempts); !errors.Is(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestOneLine(t *testing.T) {
	t.Parallel()
	if got := oneLine(" a\nb\x1b[31mc\x00 "); got != "a b[31mc" {
		t.Errorf("oneLine = %q", got)
	}
	if got := oneLine(strings.Repeat("x", 1000)); len(got) > maxMessage+3 {
		t.Errorf("oneLine of 1000 bytes has %d", len(got))
	}
}

func TestParseContentRange(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in           string
		first, total int64
		ok           bool
	}{
		{"bytes 0-9/10", 0, 10, true},
		{"bytes 5-9/10", 5, 10, true},
		{"bytes 5-7/*", 5, -1, true},
		{"bytes 5-4/10", 0, 0, false},
		{"bytes 5-10/10", 0, 0, false},
		{"bytes */10", 0, 0, false},
		{"bytes -5-9/10", 0, 0, false},
		{"bytes +5-9/10", 0, 0, false},
		{"items 0-9/10", 0, 0, false},
		{"bytes 0-9", 0, 0, false},
		{"bytes 0-9223372036854775808/*", 0, 0, false},
		{"", 0, 0, false},
	} {
		first, total, err := parseContentRange(tt.in)
		if (err == nil) != tt.ok || (tt.ok && (first != tt.first || total != tt.total)) || (!tt.ok && !errors.Is(err, ErrSize)) {
			t.Errorf("parseContentRange(%q) = %d, %d, %v", tt.in, first, total, err)
		}
	}
}

func FuzzParseContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-9/10", "bytes 5-7/*", "bytes */10", "bytes 1-0/0", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, total, err := parseContentRange(s)
		if err == nil && (first < 0 || total < -1 || (total >= 0 && first >= total)) {
			t.Fatalf("parseContentRange(%q) = %d of %d", s, first, total)
		}
	})
}

const (
	ociManifest = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json"},"layers":[]}`
	ociUnnamed  = `{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json"},"layers":[]}`
	ociIndex    = `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json"}]}`
	emptyIndex  = `{"schemaVersion":2,"manifests":[]}`
	schema2     = `{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{},"layers":[]}`
	list        = `{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","manifests":[]}`
	schema1     = `{"schemaVersion":1,"name":"a","fsLayers":[],"history":[]}`
	signed1     = `{"schemaVersion":1,"name":"a","fsLayers":[],"history":[],"signatures":[{}]}`
	ambiguous   = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"config":{},"layers":[]}`
	artifact    = `{"schemaVersion":2,"mediaType":"application/vnd.example+json","config":{},"layers":[]}`
)

func TestMediaType(t *testing.T) {
	t.Parallel()
	const (
		oci    = "application/vnd.oci.image.manifest.v1+json"
		index  = "application/vnd.oci.image.index.v1+json"
		docker = "application/vnd.docker.distribution.manifest.v2+json"
		dlist  = "application/vnd.docker.distribution.manifest.list.v2+json"
		old    = "application/vnd.docker.distribution.manifest.v1+json"
		signed = "application/vnd.docker.distribution.manifest.v1+prettyjws"
	)
	for _, tt := range []struct{ name, data, said, want string }{
		{"oci", ociManifest, oci, oci},
		{"oci with parameters", ociManifest, oci + "; charset=utf-8", oci},
		{"oci without its own", ociUnnamed, oci, oci},
		{"oci, nothing said", ociUnnamed, "", oci},
		{"index", ociIndex, index, index},
		{"empty index", emptyIndex, index, index},
		{"schema 2", schema2, docker, docker},
		{"schema 2 as text", schema2, "text/plain; charset=utf-8", docker},
		{"schema 2 as JSON", schema2, "application/json", docker},
		{"list", list, dlist, dlist},
		{"schema 1", schema1, old, old},
		{"schema 1, signed", signed1, signed, signed},
		{"schema 1, signed, as JSON", signed1, "application/json", signed},
		{"schema 1, said to be signed", schema1, signed, old},
		{"schema 2 said to be oci", schema2, oci, ""},
		{"schema 2 said to be schema 1", schema2, signed, ""},
		{"list said to be schema 2", list, docker, ""},
		{"index said to be a manifest", ociIndex, oci, ""},
		{"two kinds in one", ambiguous, index, ""},
		{"unknown kind", artifact, "application/vnd.example+json", ""},
		{"no JSON", "<html>", "text/html", ""},
		{"an array", "[]", oci, ""},
		{"nothing", "", oci, ""},
		{"empty object", "{}", oci, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := mediaType([]byte(tt.data), tt.said)
			if got != tt.want || (tt.want == "") != errors.Is(err, ErrMediaType) {
				t.Fatalf("mediaType = %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func FuzzMediaType(f *testing.F) {
	for _, s := range []string{ociManifest, ociUnnamed, ociIndex, emptyIndex, schema2, list, schema1, signed1, ambiguous, artifact, "", "{}"} {
		for _, said := range append(MediaTypes(), "", "text/plain") {
			f.Add([]byte(s), said)
		}
	}
	known := map[string]bool{}
	for _, mt := range MediaTypes() {
		known[mt] = true
	}
	f.Fuzz(func(t *testing.T, data []byte, said string) {
		got, err := mediaType(data, said)
		if (err == nil) != known[got] {
			t.Fatalf("mediaType = %q, %v", got, err)
		}
	})
}

// An upload goes to no other address in clear if the registry is not so.
func TestUploadNotInClear(t *testing.T) {
	t.Parallel()
	named, err := reference.ParseNamed("registry.example:5000/a")
	if err != nil {
		t.Fatal(err)
	}
	ep, c := mirrors.Endpoint{Ref: named}, &Client{}
	for to, want := range map[string]bool{
		"http://registry.example:5000/up": false, // the transport has its scheme
		"http://registry.example/up":      true,
		"http://other.example/up":         true,
		"https://other.example/up":        false,
	} {
		u, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.leads(ep, "https", u); errors.Is(got, ErrAddress) != want {
			t.Errorf("%s: %v", to, got)
		}
		from := &http.Request{URL: &url.URL{Scheme: "http", Host: ep.Host()}} // as a Location may say
		client := c.led(&http.Client{}, ep, "https")
		if got := client.CheckRedirect(&http.Request{URL: u}, []*http.Request{from}); errors.Is(got, ErrAddress) != want {
			t.Errorf("a redirect to %s: %v", to, got)
		}
	}
}

// TestDowngrades: an https address does not send to another scheme.
func TestDowngrades(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		from, to string
		want     bool
	}{
		{"https://a.example.com/", "http://a.example.com/", true},
		{"https://a.example.com/", "file:///etc/passwd", true},
		{"https://a.example.com/", "https://b.example.com/", false},
		{"http://a.example.com/", "http://b.example.com/", false},
		{"http://a.example.com/", "https://a.example.com/", false},
	} {
		from, err := url.Parse(tt.from)
		if err != nil {
			t.Fatal(err)
		}
		to, err := url.Parse(tt.to)
		if err != nil {
			t.Fatal(err)
		}
		if got := downgrades(from, to); errors.Is(got, ErrAddress) != tt.want {
			t.Errorf("%s to %s: %v", tt.from, tt.to, got)
		}
	}
}
