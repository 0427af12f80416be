package push_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/pull"
	"github.com/nodeseal/nodeseal/internal/push"
	"github.com/nodeseal/nodeseal/internal/testregistry"
	"github.com/nodeseal/nodeseal/layout"
)

// receive serves an empty registry.
func receive(t *testing.T, referrers bool) (*testregistry.Receiver, string) {
	t.Helper()
	r := testregistry.NewReceiver(referrers)
	addr, stop, err := r.Serve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return r, addr
}

// options push s to addr/x, by one connection.
func options(t *testing.T, s push.Source, addr string) push.Options {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "registries.conf")
	if err := os.WriteFile(conf, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return optionsWith(t, s, addr, conf)
}

// optionsWith is options with a registries.conf.
func optionsWith(t *testing.T, s push.Source, addr, conf string) push.Options {
	t.Helper()
	auth := filepath.Join(t.TempDir(), "auth.json")
	login := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, addr, base64.StdEncoding.EncodeToString([]byte("eng:s3cret")))
	if err := os.WriteFile(auth, []byte(login), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := pull.New(pull.Options{
		RegistriesConf: conf, AuthFile: auth, Write: true, MaxPerHost: 1, Retries: 1,
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	})
	if err != nil {
		t.Fatal(err)
	}
	return push.Options{Source: s, Target: push.Target(addr + "/x"), Client: c}
}

func run(t *testing.T, o push.Options) *push.Result {
	t.Helper()
	res, err := push.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// isMount reports a request to take a blob from another repository.
func isMount(req *http.Request) bool {
	return req.Method == http.MethodPost && req.URL.Query().Has("mount")
}

// refuseMounts begins an upload in the place of each mount, as a registry may.
func refuseMounts(_ http.ResponseWriter, req *http.Request) bool {
	if isMount(req) {
		req.URL.RawQuery = ""
	}
	return false
}

// apart gives each repository its own blobs, as registries do: the Receiver has one place for all.
type apart struct {
	mu   sync.Mutex
	has  map[string]bool // /v2/REPOSITORY/blobs/DIGEST
	then func(w http.ResponseWriter, req *http.Request) bool
}

func separate(r *testregistry.Receiver, then func(w http.ResponseWriter, req *http.Request) bool) *apart {
	a := &apart{has: make(map[string]bool), then: then}
	r.Trouble(a.handle)
	return a
}

func (a *apart) handle(w http.ResponseWriter, req *http.Request) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	repository, _, uploads := strings.Cut(req.URL.Path, "uploads/")
	switch {
	case uploads && req.Method == http.MethodPut:
		a.has[repository+req.URL.Query().Get("digest")] = true
	case !uploads && strings.Contains(req.URL.Path, "/blobs/") && !a.has[req.URL.Path]:
		w.WriteHeader(http.StatusNotFound)
		return true
	}
	return a.then(w, req)
}

// checked is a registry whose tokens are good for the repositories that they were asked for.
type checked struct {
	mu     sync.Mutex
	mounts int // that were allowed
}

func (c *checked) handle(w http.ResponseWriter, req *http.Request) bool {
	if req.URL.Path == "/token" {
		token := base64.RawURLEncoding.EncodeToString(encode(req.URL.Query()["scope"]))
		_, _ = w.Write(encode(map[string]string{"token": token}))
		return true
	}
	token := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
	if token == "" || token == req.Header.Get("Authorization") {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="lab"`, req.Host))
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	if !isMount(req) {
		return false
	}
	var scopes []string
	if data, err := base64.RawURLEncoding.DecodeString(token); err != nil || json.Unmarshal(data, &scopes) != nil {
		return refuseMounts(w, req)
	}
	if !slices.Contains(scopes, "repository:"+req.URL.Query().Get("from")+":pull") {
		return refuseMounts(w, req)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mounts++
	w.WriteHeader(http.StatusCreated)
	return true
}

// A token for a mount is good for both repositories: a layer that two share is sent once.
func TestMountScope(t *testing.T) {
	t.Parallel()
	r, addr := receive(t, false)
	c := &checked{}
	r.Trouble(c.handle)
	s := newSource()
	shared := bytes.Repeat([]byte("s"), 5000)
	s.image("ns/a", shared)
	s.image("ns/b", shared)
	res := run(t, options(t, s, addr))
	if c.mounts != 1 || res.Mounted.Blobs != 1 || r.Received() >= 2*5000 {
		t.Errorf("%d mounts, %+v mounted, %d bytes received", c.mounts, res.Mounted, r.Received())
	}
}

// A registry that mounts nothing gets the layers that a bundle leaves to its base out of the
// repositories that have them. One connection is enough.
func TestBaseInAnotherRepository(t *testing.T) {
	t.Parallel()
	r, addr := receive(t, false)
	registry := separate(r, refuseMounts)
	shared := bytes.Repeat([]byte("s"), 5000)
	old := newSource()
	old.image("ns/a", shared)
	run(t, options(t, old, addr))
	for name, trouble := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"b": refuseMounts,
		"c": func(w http.ResponseWriter, req *http.Request) bool {
			if isMount(req) {
				w.WriteHeader(http.StatusForbidden)
			}
			return isMount(req)
		},
	} {
		registry.then = trouble
		s := newSource()
		s.image("ns/a", shared)
		s.image("ns/"+name, shared)
		s.leave(shared)
		if res := run(t, options(t, s, addr)); res.Mounted.Blobs != 0 || len(res.Images[1].Names) == 0 {
			t.Errorf("%s: %+v", name, res)
		}
	}
	s := newSource()
	s.image("ns/d", shared)
	s.leave(shared)
	var lacks *push.BaseError
	if _, err := push.Run(t.Context(), options(t, s, addr)); !errors.As(err, &lacks) {
		t.Errorf("a base that no repository of the bundle has: %v", err)
	}
}

// What a registry gives back as a layer of the base is held to its digest.
func TestBaseDamagedInRegistry(t *testing.T) {
	t.Parallel()
	r, addr := receive(t, false)
	registry := separate(r, refuseMounts)
	shared := bytes.Repeat([]byte("s"), 5000)
	s := newSource()
	s.image("ns/a", shared)
	run(t, options(t, s, addr))
	s.image("ns/b", shared)
	s.leave(shared)
	registry.then = func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/blobs/") {
			_, _ = w.Write(bytes.Repeat([]byte("x"), 5000))
			return true
		}
		return refuseMounts(w, req)
	}
	_, err := push.Run(t.Context(), options(t, s, addr))
	var bad *push.CopyError
	if !errors.As(err, &bad) || bad.From != addr+"/x/ns/a" || !errors.Is(err, layout.ErrDigest) || !strings.Contains(push.Next(err), "without --since") {
		t.Errorf("error %v\n%s", err, push.Next(err))
	}
}

// Layers that are not in the bundle cannot be compressed again, whatever the registry has.
func TestRecompressWithBase(t *testing.T) {
	t.Parallel()
	_, addr := receive(t, false)
	for _, recompress := range []bool{false, true} {
		s := newSource()
		s.inv.Layers = bundle.Expanded
		plain := []byte("plain")
		s.image("ns/a", plain)
		s.leave(plain)
		o := options(t, s, addr)
		o.Recompress = recompress
		_, err := push.Run(t.Context(), o)
		var expanded *push.ExpandedError
		if !errors.As(err, &expanded) || expanded.Base == "" || !push.IsPrecondition(err) || !strings.Contains(push.Next(err), "without --since") {
			t.Errorf("recompress %t: %v\n%s", recompress, err, push.Next(err))
		}
	}
}

// With KeepGoing a registry that cannot be asked is not one that lacks a base.
func TestKeepGoingUnreachable(t *testing.T) {
	t.Parallel()
	shared := []byte("shared")
	s := newSource()
	s.image("ns/a", shared)
	s.image("ns/b", shared, []byte("own"))
	s.leave(shared)
	o := options(t, s, "127.0.0.1:1")
	o.KeepGoing = true
	res, err := push.Run(t.Context(), o)
	if !errors.Is(err, syscall.ECONNREFUSED) || !errors.Is(err, push.ErrNone) || push.IsPrecondition(err) {
		t.Fatalf("error %v", err)
	}
	if res == nil || res.MirrorSets != "" || res.Images[0].Err == nil || res.Images[1].Err == nil {
		t.Errorf("%+v", res)
	}
	if next := push.Next(err); next == "" || strings.Contains(next, "--mirrors") {
		t.Errorf("next: %s", next)
	}
	if _, err := push.Plan(t.Context(), o); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a dry run: %v", err)
	}

	r, addr := receive(t, false)
	r.Trouble(testregistry.Troubles("signin"))
	o = options(t, s, addr)
	o.KeepGoing = true
	if _, err := push.Run(t.Context(), o); !errors.Is(err, pull.ErrUnauthorized) || push.IsPrecondition(err) {
		t.Errorf("a wrong password: %v", err)
	}
}

// Mirror sets are for the sources of what arrived.
func TestMirrorSetsOfWhatArrived(t *testing.T) {
	t.Parallel()
	r, addr := receive(t, false)
	s := newSource()
	s.image("ns/a", []byte("a"))
	b := s.image("ns/b", []byte("b"))
	b.Ref = "other.example/ns/b@" + b.Digest.String()
	r.Trouble(func(w http.ResponseWriter, req *http.Request) bool {
		refused := strings.Contains(req.URL.Path, "/ns/b/") && req.Method == http.MethodPost
		if refused {
			w.WriteHeader(http.StatusForbidden)
		}
		return refused
	})
	o := options(t, s, addr)
	o.KeepGoing = true
	if res := run(t, o); !strings.Contains(res.MirrorSets, "source: quay.example") || strings.Contains(res.MirrorSets, "other.example") {
		t.Errorf("%s", res.MirrorSets)
	}

	s = newSource()
	s.inv.Layers = bundle.Expanded
	img := s.image("ns/e", []byte("plain"))
	o = options(t, s, addr)
	o.Recompress = true
	if res := run(t, o); res.MirrorSets != "" {
		t.Errorf("recompressed: %s", res.MirrorSets)
	}
	img.Names = []string{"quay.example/ns/e:v1"}
	if res := run(t, o); strings.Contains(res.MirrorSets, "ImageDigestMirrorSet") || !strings.Contains(res.MirrorSets, "ImageTagMirrorSet") {
		t.Errorf("recompressed, with a tag: %s", res.MirrorSets)
	}
}

// A list of which an earlier push brought the other image is complete.
func TestListInTwoPushes(t *testing.T) {
	t.Parallel()
	_, addr := receive(t, false)
	amd, arm := newSource(), newSource()
	first, second := amd.image("ns/l", []byte("amd")), arm.image("ns/l", []byte("arm"))
	list := v1.Index{MediaType: v1.MediaTypeImageIndex}
	list.SchemaVersion = 2
	for arch, d := range map[string]digest.Digest{"amd64": first.Digest, "arm64": second.Digest} {
		list.Manifests = append(list.Manifests, v1.Descriptor{
			MediaType: v1.MediaTypeImageManifest, Digest: d, Size: 1, Platform: &v1.Platform{OS: "linux", Architecture: arch},
		})
	}
	data := encode(list)
	amd.listed(first, data)
	arm.listed(second, data)
	foreseen := func(s *source) bool {
		plan, err := push.Plan(t.Context(), options(t, s, addr))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(strings.Join(plan.Notes, "\n"), "would be without linux/arm64")
	}
	if !foreseen(amd) {
		t.Error("a dry run does not foresee the incomplete list")
	}
	res := run(t, options(t, amd, addr))
	if l := res.Images[0].List; !slices.Equal(l.Missing, []string{"linux/arm64"}) || !errors.Is(l.Err, push.ErrSparse) || res.MirrorSets != "" {
		t.Errorf("the first push: %+v %s", l, res.MirrorSets)
	}
	if foreseen(arm) {
		t.Error("a dry run does not see what is in the registry")
	}
	res = run(t, options(t, arm, addr))
	if l := res.Images[0].List; len(l.Missing) != 0 || l.Err != nil || !strings.Contains(res.MirrorSets, "quay.example") {
		t.Errorf("the second push: %+v", l)
	}
}

// The list of referrers that stands in for the API has their annotations.
func TestReferrersIndexAnnotations(t *testing.T) {
	t.Parallel()
	_, addr := receive(t, false)
	s := newSource()
	img := s.image("ns/a", []byte("a"))
	empty := []byte("{}")
	m := v1.Manifest{MediaType: v1.MediaTypeImageManifest, ArtifactType: "application/example", Annotations: map[string]string{"k": "v"}}
	m.SchemaVersion = 2
	m.Config = v1.Descriptor{MediaType: v1.MediaTypeEmptyJSON, Digest: s.add(empty, bundle.KindAttachment), Size: 2}
	m.Layers = []v1.Descriptor{m.Config}
	m.Subject = &v1.Descriptor{MediaType: v1.MediaTypeImageManifest, Digest: img.Digest, Size: 1}
	img.Attachments = []bundle.Attachment{{
		Kind: bundle.AttachmentReferrer, Digest: s.add(encode(m), bundle.KindAttachment), MediaType: m.ArtifactType, Blobs: []digest.Digest{m.Config.Digest},
	}}
	run(t, options(t, s, addr))
	address := "http://" + addr + "/v2/x/ns/a/manifests/" + strings.Replace(img.Digest.String(), ":", "-", 1)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var index v1.Index
	if err := json.NewDecoder(resp.Body).Decode(&index); err != nil || len(index.Manifests) != 1 || index.Manifests[0].Annotations["k"] != "v" {
		t.Errorf("%v %+v", err, index)
	}
}
