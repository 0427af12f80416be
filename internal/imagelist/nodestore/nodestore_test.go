package nodestore

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/samplerelease"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// release is the made-up release, which the tests share.
var release = sync.OnceValues(func() (*samplerelease.Release, error) {
	return samplerelease.Build(samplerelease.Options{})
})

// fill copies images of the sample release into a new graph root with skopeo, and returns
// the root. One image is named by its tag only.
func fill(t *testing.T, sample *samplerelease.Release, images []samplerelease.Image, byTag string) string {
	t.Helper()
	testenv.NeedRoot(t)
	skopeo := testenv.NeedTool(t, "skopeo")
	addr, closer, err := sample.Serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer closer()
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	t.Cleanup(func() { _ = exec.Command("umount", filepath.Join(root, "overlay")).Run() })
	for _, img := range images {
		name := img.Ref
		if img.Name == byTag {
			name = samplerelease.Prefix + "/" + img.Name + ":" + img.Name
		}
		path := strings.TrimPrefix(img.Ref, samplerelease.Registry)
		out, err := exec.Command(skopeo, "copy", "--src-tls-verify=false", "docker://"+addr+path,
			"containers-storage:[overlay@"+root+"+"+filepath.Join(dir, "run")+"]"+name).CombinedOutput()
		if err != nil {
			t.Fatalf("skopeo: %v\n%s", err, out)
		}
	}
	return root
}

func TestStore(t *testing.T) {
	t.Parallel()
	sample, err := release()
	if err != nil {
		t.Fatal(err)
	}
	tagged := sample.Images[0]
	root := fill(t, sample, sample.Images, tagged.Name)
	before := names(t, root)
	s, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	l, problems := s.List()
	if len(problems) > 0 {
		t.Errorf("problems %v", problems)
	}
	src := &Source{Stores: []*Store{s}}
	for _, img := range sample.Images {
		name, _ := imagelist.Split(img.Ref)
		if img.Name == tagged.Name {
			name = samplerelease.Prefix + "/" + img.Name
		}
		i := slices.IndexFunc(l.Entries(), func(e imagelist.Entry) bool {
			return e.Ref == img.Ref || e.Ref == name+"@"+img.Manifest.String()
		})
		if i < 0 {
			t.Errorf("%s is not in the list", img.Name)
			continue
		}
		e := l.Entries()[i]
		if !slices.Equal(e.Platforms, []string{"linux/amd64"}) ||
			(img.Name == tagged.Name) != (len(e.Names) == 1) {
			t.Errorf("%s: entry %+v", img.Name, e)
		}
		m, err := src.Manifest(t.Context(), name+"@"+img.Manifest.String())
		original, _ := sample.Manifest(img.Manifest)
		if err != nil || !bytes.Equal(m.Bytes, original) || m.MediaType != img.MediaType {
			t.Errorf("%s: manifest %s %v, want the original's bytes", img.Name, m.MediaType, err)
		}
		config, err := src.Blob(t.Context(), e.Ref, img.Config, 0, 0)
		if err != nil {
			t.Errorf("%s: configuration: %v", img.Name, err)
			continue
		}
		if data, err := io.ReadAll(config); err != nil || digest.FromBytes(data) != img.Config {
			t.Errorf("%s: configuration is another one: %v", img.Name, err)
		}
		for _, d := range img.DiffIDs {
			checkLayer(t, src, img.Name, d)
		}
	}
	if tag, err := src.Manifest(t.Context(), samplerelease.Prefix+"/"+tagged.Name+":"+tagged.Name); err != nil || tag.Digest != tagged.Manifest {
		t.Errorf("by tag: %s %v", tag.Digest, err)
	}
	if after := names(t, root); !slices.Equal(before, after) {
		t.Error("reading a store changed it")
	}
}

func checkLayer(t *testing.T, src *Source, name string, diffID digest.Digest) {
	t.Helper()
	r, ok, err := src.PlainLayer(t.Context(), diffID)
	if err != nil || !ok {
		t.Errorf("%s: layer %s: %v %v", name, diffID, ok, err)
		return
	}
	got, err := digest.FromReader(r)
	if err = errors.Join(err, r.Close()); err != nil || got != diffID {
		t.Errorf("%s: layer %s comes out as %s: %v", name, diffID, got, err)
	}
}

// names describes every file below dir.
func names(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			all = append(all, path+" "+info.ModTime().String()+" "+info.Mode().String())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A file that was changed in the store gives another tar, which its reader finds.
func TestChangedStore(t *testing.T) {
	t.Parallel()
	sample, err := release()
	if err != nil {
		t.Fatal(err)
	}
	root := fill(t, sample, sample.Images[:4], "")
	s, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	var changed, removed digest.Digest
	for d, ids := range s.layers {
		dir := filepath.Join(root, store.OverlayDir, ids[0], "diff")
		_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			info, err := e.Info()
			if err != nil || info.Size() == 0 {
				return err
			}
			if changed == "" {
				changed = d
				return os.WriteFile(path, bytes.Repeat([]byte{1}, int(info.Size())), 0o600)
			}
			removed = d
			return os.Remove(path)
		})
		if removed != "" {
			break
		}
	}
	src := &Source{Stores: []*Store{s}}
	for _, d := range []digest.Digest{changed, removed} {
		r, ok, err := src.PlainLayer(t.Context(), d)
		if err != nil || !ok {
			t.Fatalf("%v %v", ok, err)
		}
		got, err := digest.FromReader(r)
		_ = r.Close()
		if err == nil && got == d {
			t.Errorf("layer %s was changed, and comes out as before", d)
		}
	}
}

func TestNothingThere(t *testing.T) {
	t.Parallel()
	if _, err := Open(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want fs.ErrNotExist", err)
	}
	src := &Source{}
	if _, err := src.Manifest(t.Context(), "quay.io/a/b:v1"); !errors.Is(err, store.ErrUnknown) {
		t.Errorf("error %v, want store.ErrUnknown", err)
	}
	if _, err := src.Blob(t.Context(), "quay.io/a/b:v1", digest.FromString("x"), 1, 0); !errors.Is(err, store.ErrUnknown) {
		t.Errorf("error %v, want store.ErrUnknown", err)
	}
	if _, ok, err := src.PlainLayer(t.Context(), digest.FromString("x")); ok || err != nil {
		t.Errorf("a layer that is not there: %v %v", ok, err)
	}
	s := &Store{Dir: "/nowhere"}
	for _, id := range []string{"", "..", "../x", "/etc", ".hidden"} {
		if _, err := s.layerDir(id); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("layer ID %q: error %v, want fs.ErrInvalid", id, err)
		}
	}
}
