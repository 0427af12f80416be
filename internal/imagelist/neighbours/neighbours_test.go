package neighbours

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/kubeobject"
	"github.com/nodeseal/nodeseal/internal/memtest"
)

var update = flag.Bool("update", false, "write the golden files")

// read reads a file, and returns what is in none of the lists of this package.
func read(r *Reader, data []byte) (others int, err error) {
	return others, errors.Join(err, kubeobject.Read(bytes.NewReader(data), func(o kubeobject.Object) error {
		is, err := r.Read(o)
		if !is {
			others++
		}
		return err
	}))
}

// TestPublished: what is made of files as people publish them. Their golden files stand beside them.
func TestPublished(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		r := Reader{Name: filepath.Base(path)}
		others, err := read(&r, data)
		if err != nil || others > 0 {
			t.Errorf("%s: %d other objects, %v", path, others, err)
		}
		var out strings.Builder
		for _, e := range r.List.Entries() {
			fmt.Fprintf(&out, "%s  %s\n", strings.Join(append([]string{e.Ref}, e.Platforms...), " "), e.From[0])
		}
		for _, p := range r.Open {
			fmt.Fprintf(&out, "problem: %s\n", p)
		}
		golden := strings.TrimSuffix(path, ".yaml") + ".golden"
		if *update {
			if err := os.WriteFile(golden, []byte(out.String()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(golden); err != nil || string(want) != out.String() {
			t.Errorf("%s: %v, got\n%s", golden, err, out.String())
		}
	}
}

// TestHaulerKinds: images that only Hauler finds are named.
func TestHaulerKinds(t *testing.T) {
	t.Parallel()
	for object, want := range map[string]string{
		"apiVersion: content.hauler.cattle.io/v1\nkind: ImageTxts\nmetadata: {name: x}\n":          "the images of ImageTxts x (content.hauler.cattle.io/v1) are left out: fetch",
		"apiVersion: collection.hauler.cattle.io/v1\nkind: ThickCharts\nmetadata: {name: x}\n":     "helm template",
		"apiVersion: collection.hauler.cattle.io/v1alpha1\nkind: K3s\nmetadata: {name: x}\n":       "k3s-images.txt",
		"apiVersion: content.hauler.cattle.io/v1\nkind: Whatever\nmetadata: {name: x}\nspec: []\n": "one a line",
	} {
		r := Reader{Name: "h.yaml"}
		if others, err := read(&r, []byte(object)); others != 0 || err != nil || len(r.Open) != 1 || !strings.Contains(r.Open[0].Error(), want) {
			t.Errorf("%s: %d others, %v, %v", object, others, err, r.Open)
		}
	}
	var r Reader
	if _, err := read(&r, []byte("apiVersion: content.hauler.cattle.io/v1\nkind: Files\n")); err != nil || len(r.Open) > 0 {
		t.Errorf("files: %v, %v", err, r.Open)
	}
}

// TestOthers: objects of other kinds are left to others, and those of another shape are refused.
func TestOthers(t *testing.T) {
	t.Parallel()
	var r Reader
	if others, err := read(&r, []byte("apiVersion: v1\nkind: Pod\n---\napiVersion: hauler.cattle.io/v1\nkind: Images\n")); others != 2 || err != nil {
		t.Errorf("%d others, %v", others, err)
	}
	for _, text := range []string{"apiVersion: content.hauler.cattle.io/v1\nkind: Images\nspec: {images: x}\n", "kind: ZarfPackageConfig\ncomponents: {images: x}\n"} {
		if _, err := read(&r, []byte(text)); !errors.Is(err, kubeobject.ErrObject) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// FuzzRead: any file is read in bounded memory, and every image of it is a reference or a problem.
func FuzzRead(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(memtest.Repeat(1<<20, `{"kind":"ZarfPackageConfig","components":[{"images":[`, `"",`, `""]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		memtest.Hold(t, int64(len(data))*64+96<<20, func() {
			r := Reader{Name: "x"}
			if _, err := read(&r, data); err != nil && !errors.Is(err, kubeobject.ErrObject) {
				t.Errorf("an error of another kind: %v", err)
			}
			for _, e := range r.List.Entries() {
				if e.Ref == "" {
					t.Error("an image without a reference")
				}
			}
		})
	})
}
