package cluster

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/nodeseal/nodeseal/internal/imagelist/objects"
)

// fromFixture is what the same objects give without a cluster.
func fromFixture(s *fakeServer) objects.Result {
	var c objects.Collector
	for _, all := range s.objects {
		for _, o := range all {
			c.Add(o)
		}
	}
	return c.Result()
}

func TestImages(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	for _, limit := range []int{0, 1} {
		s.limit = limit
		c, _ := s.client()
		got, err := c.Images(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if want := fromFixture(s); !reflect.DeepEqual(got, want) {
			t.Errorf("in pages of %d: a cluster and its objects give different results:\n%v\n%v", limit, got.List.Entries(), want.List.Entries())
		}
	}
}

func TestForbidden(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	// The account may read pods in one namespace only, and no custom resources.
	s.deny = func(resource, namespace string) bool {
		switch resource {
		case "pods", "configmaps":
			return namespace != "acme"
		case "widgets.example.com", "nodes":
			return true
		}
		return false
	}
	c, _ := s.client()
	r, err := c.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]int)
	for _, p := range r.Problems {
		var f *ForbiddenError
		if errors.As(p, &f) {
			found[f.Resource] = len(f.Namespaces)
		}
	}
	want := map[string]int{"pods": 6, "configmaps": 6, "widgets.example.com": 0, "nodes": 0}
	if !reflect.DeepEqual(found, want) {
		t.Errorf("forbidden %v, want %v", found, want)
	}
	var refs []string
	for _, e := range r.List.Entries() {
		refs = append(refs, e.Ref)
	}
	all := strings.Join(refs, "\n")
	if !strings.Contains(all, "only-pod") || !strings.Contains(all, "only-configmap") || strings.Contains(all, "only-custom-resource") {
		t.Errorf("what may be read in a namespace was not, or the other way round:\n%s", all)
	}
}

func TestForbiddenError(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]ForbiddenError{
		"listing pods is forbidden":                                           {Resource: "pods"},
		"listing pods is forbidden in namespace a":                            {"pods", []string{"a"}},
		"listing pods is forbidden in 6 namespaces: a, b, c, d, e and 1 more": {"pods", []string{"a", "b", "c", "d", "e", "f"}},
	} {
		if e.Error() != want {
			t.Errorf("%q, want %q", e.Error(), want)
		}
	}
}

// The server dies after the first page.
func TestGoneInTheMiddle(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	s.limit = 1
	hijack := func(w http.ResponseWriter) bool {
		conn, buf, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return true
		}
		_, _ = buf.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"items\":[")
		_ = buf.Flush()
		conn.Close()
		return true
	}
	s.before = func(w http.ResponseWriter, _, token string) bool { return token != "" && hijack(w) }
	c, _ := s.client()
	_, err := c.Images(t.Context())
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "after 1 objects") {
		t.Errorf("error %v, want ErrUnreachable after 1 objects", err)
	}

	// A connection that breaks once is no failure, and counts nothing twice.
	var broken atomic.Int32
	s.before = func(w http.ResponseWriter, _, token string) bool {
		return token != "" && broken.Add(1) == 1 && hijack(w)
	}
	c, _ = s.client()
	got, err := c.Images(t.Context())
	if err != nil || !reflect.DeepEqual(got, fromFixture(s)) {
		t.Errorf("after a broken connection: %v", err)
	}
}

func TestExpiredToken(t *testing.T) {
	t.Parallel()
	for _, offered := range []string{"", "1"} {
		s := newFake(t)
		s.limit = 1
		var expired atomic.Int32
		s.before = func(w http.ResponseWriter, resource, token string) bool {
			if resource != "pods" || token == "" || expired.Add(1) > 1 {
				return false
			}
			s.fail(w, http.StatusGone, metav1.StatusReasonExpired, offered)
			return true
		}
		c, _ := s.client()
		got, err := c.Images(t.Context())
		if err != nil || !reflect.DeepEqual(got, fromFixture(s)) {
			t.Errorf("token %q offered: %v %v", offered, err, got.Problems)
		}
	}
}

func TestServerErrors(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	s.before = func(w http.ResponseWriter, resource, _ string) bool {
		switch resource {
		case "widgets.example.com": // the kind was removed meanwhile
			s.fail(w, http.StatusNotFound, metav1.StatusReasonNotFound, "")
		case "imagestreams.image.openshift.io": // its API server is down
			s.fail(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, "")
		case "routes.route.openshift.io": // it talks nonsense
			_, _ = w.Write([]byte(`["x"]`))
		default:
			return false
		}
		return true
	}
	c, server := s.client()
	r, err := c.Images(t.Context())
	if err != nil || len(r.Problems) != 2 {
		t.Errorf("%v, problems %v; want two", err, r.Problems)
	}
	s.before = func(w http.ResponseWriter, _, _ string) bool {
		s.fail(w, http.StatusUnauthorized, metav1.StatusReasonUnauthorized, "")
		return true
	}
	if _, err := c.Images(t.Context()); statusCode(err) != http.StatusUnauthorized {
		t.Errorf("error %v, want 401", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.before = nil
	if _, err := c.Images(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	server.Close()
	if _, err := c.Images(t.Context()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("error %v, want ErrUnreachable", err)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := `apiVersion: v1
kind: Config
current-context: a
clusters:
- {name: one, cluster: {server: "https://one.example:6443"}}
- {name: two, cluster: {server: "https://two.example:6443"}}
contexts:
- {name: a, context: {cluster: one, user: u}}
- {name: b, context: {cluster: two, user: u}}
users:
- {name: u, user: {token: t}}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for context, host := range map[string]string{"": "https://one.example:6443", "b": "https://two.example:6443"} {
		cfg, err := Config(file, context)
		if err != nil || cfg.Host != host {
			t.Errorf("context %q: %v %v, want %s", context, cfg, err, host)
		}
	}
	if _, err := Config(file, "none"); err == nil {
		t.Error("a context that is not there passes")
	}
	if _, err := Config(file+"x", ""); err == nil {
		t.Error("a file that is not there passes")
	}
	if _, err := New(&rest.Config{Host: "https://x", TLSClientConfig: rest.TLSClientConfig{CAFile: file + "x"}}); err == nil {
		t.Error("an authority that is not there passes")
	}
}
