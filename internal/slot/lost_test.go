package slot

import (
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/opencontainers/go-digest"
)

// TestNamed holds which images of a cluster keep a slot: a release in slot a, the
// next one in slot b. The base image is in both.
func TestNamed(t *testing.T) {
	r := newRoot(t)
	fill(t, r, 1)
	fill(t, r, 2)
	s, err := r.Read(A)
	if err != nil {
		t.Fatal(err)
	}
	var base, app imagelist.Entry
	for _, ref := range s.Store.References {
		switch name, _ := imagelist.Split(ref.Name); {
		case strings.HasPrefix(name, "example.com/base"):
			base = imagelist.Entry{Ref: ref.Name, Digest: ref.Digest}
		case strings.Contains(ref.Name, "@"):
			app = imagelist.Entry{Ref: ref.Name, Digest: ref.Digest}
		}
	}
	pod := bundle.Origin{Source: "cluster", Kind: "Pod", Namespace: "acme", Object: "web", Container: "main"}
	stranger := digest.FromString("stranger")
	for title, tc := range map[string]struct {
		entry imagelist.Entry
		want  []string
	}{
		"an image of both slots": {entry: base},
		"an image of no slot":    {entry: imagelist.Entry{Ref: "example.com/x@" + stranger.String()}},
		"an image of this slot alone": {
			entry: imagelist.Entry{Ref: app.Ref}, want: []string{"Pod acme/web, container main names " + app.Ref},
		},
		"its digest under another name": {
			entry: imagelist.Entry{Ref: "mirror.example/app@" + app.Digest.String()},
			want:  []string{"Pod acme/web, container main names mirror.example/app@" + app.Digest.String()},
		},
		"a tag that means it": {
			entry: imagelist.Entry{Ref: "mirror.example/app:v1", Digest: app.Digest},
			want:  []string{"Pod acme/web, container main names mirror.example/app:v1"},
		},
		"both digests under a name that no slot has": {
			entry: imagelist.Entry{Ref: "mirror.example/base@" + base.Digest.String()},
		},
	} {
		t.Run(title, func(t *testing.T) {
			tc.entry.From = []bundle.Origin{pod, pod}
			list := new(imagelist.List)
			list.Put(tc.entry)
			wantUses(t, r, s, Node{Stores: []string{r.Path(A), r.Path(B)}, Named: list}, tc.want)
		})
	}
}

// TestLostShort holds what a name without a registry may mean.
func TestLostShort(t *testing.T) {
	l := &lost{names: map[string]bool{"docker.io/library/nginx:latest": true, "quay.io/acme/web:v2": true}}
	for ref, want := range map[string]bool{
		"nginx": true, "nginx:latest": true, "nginx:1": false, "library/nginx": true, "inx": false,
		"acme/web:v2": true, "web:v2": true, "quay.io/other/web:v2": false,
	} {
		if got := l.has(&imagelist.Entry{Ref: ref}); got != want {
			t.Errorf("%s: %v, want %v", ref, got, want)
		}
	}
}
