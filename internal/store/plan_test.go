package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/memtest"
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
	config := `{"created":"2020-01-01T00:00:00Z","rootfs":{"type":"layers","diff_ids":[]}}`
	f.Add([]byte(rawManifest(config, "[]")), []byte(config))
	f.Add([]byte(`{"config":{},"layers":[]}`), []byte(`{"rootfs":{"diff_ids":[]}}`))
	f.Add([]byte(`[]`), []byte(`null`))
	f.Add([]byte(`{"layers":`+strings.Repeat(`[`, 10_000)), []byte(`{"created":"9999-12-31T23:59:59-23:59"}`))
	f.Add([]byte(`{}`), []byte(`{"created":"0000-01-01T00:00:00+23:59","rootfs":{}}`))
	f.Fuzz(func(t *testing.T, manifest, config []byte) {
		src := storetest.NewSource(t, bundle.Expanded)
		src.AddRaw("quay.io/a/b", manifest, config)
		var plan *store.Plan
		var err error
		memtest.Hold(t, 32*int64(len(manifest)+len(config))+32<<20, func() { plan, err = store.NewPlan(t.Context(), src, store.Selection{}) })
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

// rawManifest is a manifest with the configuration and the layers.
func rawManifest(config, layers string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},"layers":%s}`,
		digest.FromString(config), len(config), layers)
}

// TestHostileMetadata plans images whose manifests and configurations lie or
// want to exhaust the reader.
func TestHostileMetadata(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`[`, 4<<20)
	for name, c := range map[string]struct{ manifest, config, says string }{
		"deep manifest":       {`{"config":{},"layers":` + deep, `{}`, "JSON of too many values"},
		"deep configuration":  {``, `{"rootfs":` + strings.Repeat(`{"a":`, 1<<20), "not an image configuration"},
		"endless list":        {`{"schemaVersion":2,"layers":[` + strings.Repeat(`{},`, 1<<20) + `{}]}`, `{}`, "JSON of too many values"},
		"huge number":         {``, `{"created":1` + strings.Repeat(`0`, 1<<20) + `,"rootfs":{"type":"layers"}}`, "not an image configuration"},
		"more diff_ids":       {``, `{"rootfs":{"type":"layers","diff_ids":["` + digest.FromString("a").String() + `"]}}`, "it has 1 diff_ids, the manifest 0 layers"},
		"other configuration": {rawManifest("other", "[]"), `{}`, "it names the configuration"},
		"more layers": {
			rawManifest(`{}`, `[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"`+digest.FromString("a").String()+`"}]`),
			`{}`, "it has 1 layers, the inventory 0",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.manifest == "" {
				c.manifest = rawManifest(c.config, "[]")
			}
			src := storetest.NewSource(t, bundle.Expanded)
			src.AddRaw("quay.io/a/b", []byte(c.manifest), []byte(c.config))
			_, err := store.NewPlan(t.Context(), src, store.Selection{})
			if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %.300v, want %q", err, c.says)
			}
		})
	}
}

// TestTwoSizes claims two lengths for one layer.
func TestTwoSizes(t *testing.T) {
	t.Parallel()
	layer := storetest.Tar(t, storetest.File("a", "a"))
	src := storetest.NewSource(t, bundle.Expanded)
	for _, name := range []string{"quay.io/a/one", "quay.io/a/two"} {
		src.Add(storetest.Image{Repository: name, Layers: [][]byte{layer}, Labels: map[string]string{"n": name}})
	}
	src.Edit(func(inv *bundle.Inventory) { inv.Images[1].Layers[0].DiffSize++ })
	_, err := store.NewPlan(t.Context(), src, store.Selection{})
	if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "two sizes") {
		t.Errorf("error %v", err)
	}
}

// TestPart plans a part of a source as if it were the whole.
func TestPart(t *testing.T) {
	t.Parallel()
	src := storetest.NewSource(t, bundle.Expanded)
	shared := storetest.Tar(t, storetest.File("shared", "s"))
	for _, name := range []string{"one", "two", "three"} {
		src.Add(storetest.Image{
			Repository: "quay.io/a/" + name, Labels: map[string]string{"n": name},
			Layers: [][]byte{shared, storetest.Tar(t, storetest.File(name, name))},
		})
	}
	part, err := store.Part(src, func(img *bundle.Image) bool { return strings.Contains(img.Ref, "/t") })
	if err != nil {
		t.Fatal(err)
	}
	inv, err := bundle.ParseInventory(bytes.NewReader(part.RawInventory()))
	if err != nil {
		t.Fatal(err)
	}
	// Two manifests, two configurations, three layers with their file tables.
	if len(inv.Images) != 2 || len(inv.Blobs) != 2+2+3+3 {
		t.Errorf("%d images, %d blobs", len(inv.Images), len(inv.Blobs))
	}
	plan, err := store.NewPlan(t.Context(), part, store.Selection{})
	if err != nil || len(plan.Layers) != 3 || len(src.Inventory().Images) != 3 {
		t.Errorf("plan %+v, %v", plan, err)
	}
}
