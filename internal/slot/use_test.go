package slot

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

type record map[string]any

// primary writes a primary store's records.
func primary(t *testing.T, files map[string][]record) string {
	t.Helper()
	dir := t.TempDir()
	for name, records := range files {
		data, err := json.Marshal(records)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, name), string(data))
	}
	return dir
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// proc writes the mounts of one process.
func proc(t *testing.T, mountinfo string) string {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "7", "mountinfo"), mountinfo)
	if err := os.MkdirAll(filepath.Join(dir, "7", "ns"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("mnt:[1]", filepath.Join(dir, "7", "ns", "mnt")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func overlayLine(lower, upperLayer string) string {
	return fmt.Sprintf("1 2 0:3 / /merged\\040x rw - overlay overlay rw,lowerdir=%s,upperdir=/graph/overlay/%s/diff,workdir=/w\n", lower, upperLayer)
}

// rootLine is a container's own mount, as a process in it sees it.
func rootLine(lower, graphRoot, upperLayer string) string {
	return strings.NewReplacer("/merged\\040x", "/", "/graph/overlay", graphRoot+"/overlay").Replace(overlayLine(lower, upperLayer))
}

// TestUses holds what needs a slot and what does not: a release in slot a, the
// next one in slot b, which share their base layer.
func TestUses(t *testing.T) {
	r := newRoot(t)
	fill(t, r, 1)
	fill(t, r, 2)
	s, err := r.Read(A)
	if err != nil {
		t.Fatal(err)
	}
	var shared, own, image, name string
	for _, l := range s.Store.Layers {
		if l.Parent == "" {
			shared = l.ID
		} else {
			own = l.ID
		}
	}
	for _, img := range s.Store.Images {
		if img.TopLayer == own {
			image, name = img.ID, img.Names[0]
		}
	}
	lower := r.Path(A) + "/overlay/l/X:" + r.Path(A) + "/overlay/l/Y"
	other := primary(t, map[string][]record{"overlay-containers/containers.json": {
		{"id": "1", "names": []string{"k8s_etcd_etcd-0_openshift-etcd_3f-1_0"}, "layer": "l1"},
		{"id": "2", "names": []string{"k8s_POD_etcd-0_openshift-etcd_3f-1_0"}, "layer": "l2"},
		{"id": "3", "names": []string{"k8s_dns_resolver_dns_3f-2_4"}, "layer": "l3"},
		{"id": "4", "names": []string{"web"}, "layer": "l4"},
	}})
	for title, tc := range map[string]struct {
		files map[string][]record
		proc  string
		want  []string
		// readers are the containers that the old store is kept for.
		readers int
	}{
		"nothing": {},
		"a layer on top of the shared one": {
			files: map[string][]record{"overlay-layers/layers.json": {{"id": "top", "parent": shared}}},
		},
		"a layer on top of its own one": {
			files: map[string][]record{"overlay-layers/layers.json": {{"id": "mid", "parent": own}, {"id": "top", "parent": "mid"}}},
			want:  []string{"layer mid", "layer top"},
		},
		"an image record without a layer": {
			files: map[string][]record{"overlay-images/images.json": {{"id": "i", "names": []string{"example.com/pulled"}, "layer": own}}},
			want:  []string{"image example.com/pulled"},
		},
		"an image record of the shared layer": {
			files: map[string][]record{"overlay-images/images.json": {{"id": "i", "layer": shared}}},
		},
		"a stopped container": {
			files: map[string][]record{
				"overlay-containers/containers.json": {{"id": "c", "names": []string{"web"}, "image": image, "layer": "rw"}},
				"overlay-layers/layers.json":         {{"id": "rw", "parent": own}},
			},
			want: []string{"container web of " + name},
		},
		"a volatile container": {
			files: map[string][]record{
				"overlay-containers/volatile-containers.json": {{"id": "c", "image": "other", "layer": "rw"}},
				"overlay-layers/volatile-layers.json":         {{"id": "rw", "parent": own}},
			},
			want: []string{"container c of other"},
		},
		"a container that both slots can carry runs from this one": {
			files: map[string][]record{
				"overlay-containers/containers.json": {{"id": "c", "image": "other", "layer": "rw"}},
				"overlay-layers/layers.json":         {{"id": "rw", "parent": shared}},
			},
			proc: overlayLine(lower, "rw"), readers: 1,
		},
		"a container that both slots can carry runs from the other one": {
			files: map[string][]record{
				"overlay-containers/containers.json": {{"id": "c", "image": "other", "layer": "rw"}},
				"overlay-layers/layers.json":         {{"id": "rw", "parent": shared}},
			},
			proc: overlayLine(r.Path(B)+"/overlay/l/X", "rw"),
		},
		"a container whose mount does not tell": {
			files: map[string][]record{
				"overlay-containers/containers.json": {{"id": "c", "image": "other", "layer": "rw"}},
				"overlay-layers/layers.json":         {{"id": "rw", "parent": shared}},
			},
			proc: overlayLine("/proc/self/fd/9", "rw"), readers: 1,
		},
		"a container of its own layer runs": {
			files: map[string][]record{
				"overlay-containers/containers.json": {{"id": "c", "image": "other", "layer": "rw"}},
				"overlay-layers/layers.json":         {{"id": "rw", "parent": own}},
			},
			proc: overlayLine(lower, "rw"),
			want: []string{"container c of other, which runs from it"},
		},
		"a mount of another graph root": {
			proc: overlayLine(lower, "foreign"), want: []string{"mount /merged x, which runs from it"},
		},
		"a container of a pod": {
			files: map[string][]record{
				"overlay-containers/containers.json": {{"id": "c", "names": []string{"k8s_etcd_etcd-0_openshift-etcd_3f-1_0"}, "image": image, "layer": "rw"}},
				"overlay-layers/layers.json":         {{"id": "rw", "parent": own}},
			},
			want: []string{"container etcd of pod openshift-etcd/etcd-0 of " + name},
		},
		"pods of another graph root, seen from their containers": {
			proc: rootLine(lower, other, "l1") + rootLine(lower, other, "l2") + rootLine(lower, other, "l3") + rootLine(lower, other, "l4") + rootLine(lower, other, "l5"),
			want: []string{"mount " + other + "/overlay/l5, which runs from it", "pod dns/resolver, which runs from it", "pod openshift-etcd/etcd-0, which runs from it",
				"container web, which runs from it"},
		},
		"a mount of something else": {proc: overlayLine("/elsewhere/a", "foreign")},
		"a mount in the new words": {
			proc: "1 2 0:3 / /m rw - overlay overlay rw,lowerdir+=" + r.Path(A) + "/overlay/l/X\n",
			want: []string{"mount /m, which runs from it"},
		},
	} {
		t.Run(title, func(t *testing.T) {
			node := Node{GraphRoots: []string{primary(t, tc.files)}, Stores: []string{r.Path(A), r.Path(B)}}
			if tc.proc != "" {
				node.Proc = proc(t, tc.proc)
			}
			wantUses(t, r, s, node, tc.want)
			if len(tc.want) > 0 {
				return
			}
			out, err := r.Retire(t.Context(), A, node)
			if err != nil || out.Readers != tc.readers {
				t.Fatalf("Retire: %+v, %v; want %d readers", out, err, tc.readers)
			}
			kept, err := filepath.Glob(filepath.Join(r.work(), "kept-*", "overlay"))
			if err != nil || len(kept) != tc.readers {
				t.Errorf("kept %v, %v", kept, err)
			}
			fill(t, r, 1)
			noLeftOvers(t, r)
		})
	}
}

// wantUses wants just these uses of slot s, and where there are any, that Retire
// refuses for all of them and leaves the slot as it was.
func wantUses(t *testing.T, r *Root, s *Slot, node Node, want []string) {
	t.Helper()
	uses, err := r.Uses(s, node)
	if err != nil {
		t.Fatal(err)
	}
	texts := func(uses []Use) (out []string) {
		for _, u := range uses {
			out = append(out, u.String())
		}
		return out
	}
	if got := texts(uses); !slices.Equal(got, want) {
		t.Errorf("uses %q, want %q", got, want)
	}
	if len(want) == 0 {
		return
	}
	var inUse *InUseError
	if _, err := r.Retire(t.Context(), s.Name, node); !errors.As(err, &inUse) || !slices.Equal(texts(inUse.Uses), want) {
		t.Errorf("Retire: %v, want it to refuse for %q", err, want)
	}
	hold(t, r, s.Name, s.Release())
}

// TestLateUse holds that a use that begins during the exchange puts it back.
func TestLateUse(t *testing.T) {
	r := newRoot(t)
	fill(t, r, 1)
	s, err := r.Read(A)
	if err != nil {
		t.Fatal(err)
	}
	graph := t.TempDir()
	r.before = func(step string) error {
		if step == "exchanged" {
			data, err := json.Marshal([]record{{"id": "late", "parent": s.Store.Layers[0].ID}})
			if err != nil {
				return err
			}
			writeFile(t, filepath.Join(graph, "overlay-layers/layers.json"), string(data))
		}
		return nil
	}
	var inUse *InUseError
	_, err = r.Retire(t.Context(), A, Node{GraphRoots: []string{graph}, EmptyNode: true})
	if !errors.As(err, &inUse) || err.Error() != inUse.Error() {
		t.Errorf("Retire: %v, want %T", err, inUse)
	}
	hold(t, r, A, "release 4.99.1")
	noLeftOvers(t, r)
}

// TestDamagedPrimary holds that what cannot be read does not count as unused.
func TestDamagedPrimary(t *testing.T) {
	r := newRoot(t)
	fill(t, r, 1)
	graph := t.TempDir()
	writeFile(t, filepath.Join(graph, "overlay-layers/layers.json"), "[{")
	if _, err := r.Retire(t.Context(), A, Node{GraphRoots: []string{graph}, EmptyNode: true}); err == nil {
		t.Error("retired, although the primary store cannot be read")
	}
	hold(t, r, A, "release 4.99.1")
}
