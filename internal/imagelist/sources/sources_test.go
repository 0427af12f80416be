package sources

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/imagelist/objects"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
	"github.com/nodeseal/nodeseal/internal/pull"
	"github.com/nodeseal/nodeseal/internal/pull/mirrors"
)

const sum = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

var errNone = errors.New("no such image")

// registry knows the digests of a few tags.
type registry map[string]digest.Digest

func (r registry) Manifest(context.Context, string) (pull.Manifest, error) {
	return pull.Manifest{}, errNone
}

func (r registry) Blob(context.Context, string, digest.Digest, int64, int64) (io.ReadCloser, error) {
	return nil, errNone
}

func (r registry) Reject(digest.Digest) {}

func (r registry) Head(_ context.Context, ref string) (v1.Descriptor, error) {
	d, ok := r[ref]
	if !ok {
		return v1.Descriptor{}, errNone
	}
	return v1.Descriptor{Digest: d}, nil
}

func text(name, content string) File {
	return File{Name: name, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }}
}

func onDisk(path string) File {
	return File{Name: path, Open: func() (io.ReadCloser, error) { return os.Open(path) }}
}

func gather(t *testing.T, s Sources, reg registry) (*Result, []mirrors.Rule) {
	t.Helper()
	var rules []mirrors.Rule
	s.Connect = func(found []mirrors.Rule) (Registry, error) { rules = found; return reg, nil }
	r, err := s.Gather(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r, rules
}

func TestEveryForm(t *testing.T) {
	t.Parallel()
	fixture := "../../../testdata/cluster/objects.yaml"
	first, rules := gather(t, Sources{Files: []File{
		text("a.lst", "quay.io/x/tagged:v1\nquay.io/x/gone:v1\n"), onDisk(fixture),
	}, Resolve: true}, registry{"quay.io/x/tagged:v1": sum, "quay.io/acme/only-quadlet:v1": sum})
	if len(rules) != 4 || rules[1].Use != mirrors.Digests || rules[2].Use != mirrors.Tags || !rules[1].Exclusive {
		t.Errorf("rules %+v", rules)
	}
	if first.Release == nil || first.Release.Version != "4.20.1" || !slices.Equal(first.Architectures, []string{"amd64", "arm64"}) {
		t.Errorf("release %+v, architectures %q", first.Release, first.Architectures)
	}
	tagged := first.Images[slices.IndexFunc(first.Images, func(e imagelist.Entry) bool { return e.Ref == "quay.io/x/tagged@"+sum })]
	if !slices.Equal(tagged.Names, []string{"quay.io/x/tagged:v1"}) || tagged.From[0].Name != "a.lst:1" {
		t.Errorf("resolved entry %+v", tagged)
	}
	var open []string
	for _, u := range first.Unresolved {
		open = append(open, u.Ref)
	}
	if want := []string{"quay.io/acme/only-unit-tag:v3", "quay.io/x/gone:v1", "registry.redhat.io/rhel8/only-unimported:latest"}; !slices.Equal(open, want) {
		t.Errorf("unresolved %q, want %q", open, want)
	}
	var payloads int
	for _, p := range first.Problems {
		var re *ReleaseError
		if errors.As(p, &re) && errors.Is(p, errNone) {
			payloads++
		}
	}
	if payloads != 2 {
		t.Errorf("%d payloads could not be read, want two: %v", payloads, first.Problems)
	}

	// What it printed, read back, is the same list.
	var printed strings.Builder
	if err := first.Document.WriteJSON(&printed); err != nil {
		t.Fatal(err)
	}
	again, rules2 := gather(t, Sources{Files: []File{text("list.json", printed.String())}}, nil)
	if !slices.EqualFunc(again.Images, first.Images, func(a, b imagelist.Entry) bool {
		return a.Ref == b.Ref && a.Digest == b.Digest && slices.Equal(a.Names, b.Names) && slices.Equal(a.From, b.From) && slices.Equal(a.Platforms, b.Platforms)
	}) || len(rules2) != len(rules) || len(again.Signatures) != 1 || again.Release.Version != "4.20.1" {
		t.Error("a list that was printed reads back as another one")
	}
}

func TestReleaseFile(t *testing.T) {
	t.Parallel()
	r, _ := gather(t, Sources{ReleaseFiles: []File{onDisk("../release/testdata/image-references-4.12.0.json")}}, nil)
	if len(r.Images) != 183 || r.Release.Version != "4.12.0" {
		t.Errorf("%d images of release %v, want 183 of 4.12.0", len(r.Images), r.Release)
	}
	filter, err := imagelist.NewFilter(nil, []string{"quay.io/openshift-release-dev"})
	if err != nil {
		t.Fatal(err)
	}
	r, _ = gather(t, Sources{ReleaseFiles: []File{onDisk("../release/testdata/image-references-4.12.0.json")}, Filter: filter}, nil)
	if len(r.Images) != 0 {
		t.Errorf("%d images, all are excluded", len(r.Images))
	}
}

// walker is a cluster of objects with a problem.
type walker struct {
	objects []kubeobject.Object
	err     error
}

func (w walker) Walk(_ context.Context, each func(kubeobject.Object)) ([]objects.Problem, error) {
	for _, o := range w.objects {
		each(o)
	}
	return []objects.Problem{{Err: errNone}}, w.err
}

func TestCluster(t *testing.T) {
	t.Parallel()
	o, err := kubeobject.Parse([]byte(`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","namespace":"x"},"spec":{"containers":[{"name":"c","image":"quay.io/a/b@`+sum+`"}]}}`), "", "")
	if err != nil {
		t.Fatal(err)
	}
	r, _ := gather(t, Sources{Cluster: walker{objects: []kubeobject.Object{o}}}, nil)
	if len(r.Images) != 1 || len(r.Problems) != 1 || !errors.Is(r.Problems[0], errNone) {
		t.Errorf("%+v", r)
	}
	s := Sources{Cluster: walker{err: errNone}}
	if _, err := s.Gather(t.Context()); !errors.Is(err, errNone) {
		t.Errorf("error %v, want the cluster's", err)
	}
}

// All bad files are named, not only the first.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	s := Sources{
		Files:        []File{text("a.lst", "Not A Reference\n"), text("b.json", `{"kind":"List","items":[{`), text("c.json", `{"format": "nodeseal list v1", "images": [{"ref": "x"}]}`), onDisk(filepath.Join(t.TempDir(), "none"))},
		ReleaseFiles: []File{text("refs.json", `{"kind":"ImageStream","apiVersion":"image.openshift.io/v1","spec":{"tags":[{"name":"a","from":{"kind":"DockerImage","name":"quay.io/a/b:v1"}}]}}`)},
		MirrorFiles:  []File{text("m.yaml", "\tnot yaml")},
	}
	_, err := s.Gather(t.Context())
	if err == nil {
		t.Fatal("bad files pass")
	}
	for _, want := range []string{"a.lst:1", "b.json", "c.json", "none", "refs.json", "m.yaml", "has no digest"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}
