package store_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/opencontainers/go-digest"
)

func TestLayerID(t *testing.T) {
	t.Parallel()
	base, top := digest.FromString("base"), digest.FromString("top")
	if got := store.LayerID("", base); got != base.Encoded() {
		t.Errorf("base layer: %s", got)
	}
	want := digest.FromString(base.Encoded() + "+" + top.Encoded()).Encoded()
	if got := store.LayerID(base.Encoded(), top); got != want {
		t.Errorf("child: %s, want %s", got, want)
	}
}

// TestPlatforms has one reference for two platforms: the node's is planned.
func TestPlatforms(t *testing.T) {
	t.Parallel()
	src := storetest.NewSource(t, bundle.Expanded)
	list := digest.FromString("list")
	for _, arch := range []string{"amd64", "arm64"} {
		img := src.Add(storetest.Image{Repository: "quay.io/a/multi", Architecture: arch, Index: true})
		list = img.Index
	}
	src.Edit(func(inv *bundle.Inventory) {
		for i := range inv.Images {
			inv.Images[i].Ref, inv.Images[i].Index = "quay.io/a/multi@"+list.String(), list
		}
	})
	plan, err := store.NewPlan(t.Context(), src, store.Selection{Architecture: "arm64"})
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Images) != 1 || len(plan.Skipped) != 1 || plan.Skipped[0].Platform.Architecture != "amd64" {
		t.Errorf("%d images, skipped %v", len(plan.Images), plan.Skipped)
	}
	if _, err = store.NewPlan(t.Context(), src, store.Selection{Architecture: "s390x"}); !errors.Is(err, store.ErrPrecondition) {
		t.Errorf("a platform that is not there: %v", err)
	}
}

func TestNameConflict(t *testing.T) {
	t.Parallel()
	src := storetest.NewSource(t, bundle.Expanded)
	for _, label := range []string{"1", "2"} {
		src.Add(storetest.Image{Repository: "quay.io/a/b", Tags: []string{"v1"}, Labels: map[string]string{"n": label}})
	}
	var conflict *store.NameConflictError
	_, err := store.NewPlan(t.Context(), src, store.Selection{})
	if !errors.As(err, &conflict) || !errors.Is(err, store.ErrDamaged) || conflict.Name != "quay.io/a/b:v1" {
		t.Errorf("error %v", err)
	}
}

// FuzzManifest plans an image with any bytes as manifest and configuration: the
// plan must agree with the inventory, or be refused.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"config":{},"layers":[]}`), []byte(`{"rootfs":{"diff_ids":[]}}`))
	f.Add([]byte(`[]`), []byte(`null`))
	f.Add([]byte(`{"layers":`+strings.Repeat(`[`, 10_000)), []byte(`{"created":"9999-12-31T23:59:59-23:59"}`))
	f.Add([]byte(`{}`), []byte(`{"created":"0000-01-01T00:00:00+23:59","rootfs":{}}`))
	f.Fuzz(func(t *testing.T, manifest, config []byte) {
		src := storetest.NewSource(t, bundle.Expanded)
		src.AddRaw("quay.io/a/b", manifest, config)
		plan, err := store.NewPlan(t.Context(), src, store.Selection{})
		if err != nil {
			if !errors.Is(err, store.ErrDamaged) {
				t.Fatalf("error %v", err)
			}
			return
		}
		if _, err := plan.Files(nil, nil); err != nil {
			t.Fatalf("a plan that cannot be written: %v", err)
		}
	})
}
