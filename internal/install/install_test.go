package install_test

import (
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/layerrules"
	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/install"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/extract"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// writeBundle writes a bundle of two images, and returns its name and what it has.
func writeBundle(t *testing.T) (string, *storetest.Source) {
	t.Helper()
	src := storetest.NewSource(t, bundle.Expanded)
	for _, name := range []string{"app", "base"} {
		src.Add(storetest.Image{Repository: "example.com/" + name, Tags: []string{"1"}, Layers: [][]byte{storetest.Tar(t, storetest.File(name, "content"))}})
	}
	path := filepath.Join(t.TempDir(), "bundle.tar.zst")
	src.WriteRaw(t, path, src.RawInventory())
	return path, src
}

// list is a list of references.
func list(t *testing.T, refs ...string) *imagelist.List {
	t.Helper()
	l := new(imagelist.List)
	for _, ref := range refs {
		l.Add(ref, bundle.Origin{})
	}
	return l
}

// TestOpen holds what is refused before anything is written, and what is not.
func TestOpen(t *testing.T) {
	testenv.NeedRoot(t)
	path, src := writeBundle(t)
	app, base := src.Inventory().Images[0].Ref, src.Inventory().Images[1].Ref
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signed, _ := writeBundle(t)
	sig, err := signature.Sign(src.RawInventory(), private)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(signed+signature.Suffix, sig, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		path string
		opts install.OpenOptions
		want error
	}{
		"all of it":              {path: path},
		"one image":              {path: path, opts: install.OpenOptions{Images: list(t, app)}},
		"both":                   {path: path, opts: install.OpenOptions{Images: list(t, app, base)}},
		"one that it lacks":      {path: path, opts: install.OpenOptions{Images: list(t, app, "example.com/other:1")}, want: install.ErrLacks},
		"signed":                 {path: signed, opts: install.OpenOptions{Keys: signature.Keys{public}}},
		"by one of two keys":     {path: signed, opts: install.OpenOptions{Keys: signature.Keys{other, public}}},
		"by another key":         {path: signed, opts: install.OpenOptions{Keys: signature.Keys{other}}, want: signature.ErrMismatch},
		"not signed":             {path: path, opts: install.OpenOptions{Keys: signature.Keys{public}}, want: signature.ErrMismatch},
		"missing":                {path: path + ".missing", want: os.ErrNotExist},
		"an image without a sum": {path: writeImage(t), want: store.ErrPrecondition},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := install.Open(t.Context(), test.path, test.opts)
			if test.want == nil && err != nil || !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
			if err == nil {
				s.Close()
			}
		})
	}
}

// writeImage writes what begins as an EROFS image does.
func writeImage(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.erofs")
	if err := os.WriteFile(path, append(make([]byte, 1024), 0xe2, 0xe1, 0xf5, 0xe0), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMissing(t *testing.T) {
	t.Parallel()
	_, src := writeBundle(t)
	app := src.Inventory().Images[0].Ref
	for _, test := range []struct {
		list []string
		want []string
	}{
		{nil, nil},
		{[]string{app}, nil},
		{[]string{app, "example.com/other:1"}, []string{"example.com/other:1"}},
	} {
		if got := install.Missing(src.Inventory(), list(t, test.list...)); !slices.Equal(got, test.want) {
			t.Errorf("%v: %v, want %v", test.list, got, test.want)
		}
	}
}

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	const bound = 256 << 20
	for _, asImage := range []bool{false, true} {
		if few := install.MemoryLimit(asImage, 0); few != install.MemoryLimit(asImage, store.MaxDefaultJobs) || few >= bound {
			t.Errorf("image %v: %d bytes, for up to %d jobs; want less than %d", asImage, few, store.MaxDefaultJobs, bound)
		}
		if install.MemoryLimit(asImage, 100) <= install.MemoryLimit(asImage, store.MaxDefaultJobs) {
			t.Errorf("image %v: more jobs have no more memory", asImage)
		}
	}
}

func TestRefusedByRules(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{extract.ErrTable, false},
		{&extract.RefusedError{Err: extract.ErrTable}, false},
		{&extract.RefusedError{Err: layerrules.ErrLeadsOut}, true},
		{errors.Join(errors.New("layer"), &extract.RefusedError{Name: "x", Err: layerrules.ErrTwice}), true},
	} {
		if got := install.RefusedByRules(test.err); got != test.want {
			t.Errorf("%v: %v", test.err, got)
		}
	}
}

// TestRun holds the one way of a bundle into each kind of place, what it says of a second run,
// and that Plan says the same before.
func TestRun(t *testing.T) {
	testenv.NeedRoot(t)
	path, _ := writeBundle(t)
	at := testenv.NeedFS(t, "ext4")
	root, err := slot.Open(filepath.Join(at, "slots"), slot.Options{NoMount: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		target install.Target
		opts   install.Options
		// plan is in what Plan says; again whether the second run finds it there.
		plan  string
		again error
	}{
		{"slot", install.Target{Root: root}, install.Options{NoSeal: true, Now: time.Unix(1, 0)}, "slot a", nil},
		{"store", install.Target{Dir: filepath.Join(at, "store")}, install.Options{NoSeal: true}, "as a directory", nil},
		{"image", install.Target{Dir: filepath.Join(at, "image")}, install.Options{NoSeal: true, NoMount: true, Form: "image"}, "as an image", store.ErrExists},
		{"file", install.Target{File: filepath.Join(at, "x.erofs")}, install.Options{}, "as an image", store.ErrExists},
	} {
		t.Run(test.name, func(t *testing.T) {
			limits := 0
			test.opts.LimitMemory = func(int64) { limits++ }
			run := func() (*install.Result, error) {
				s, err := install.Open(t.Context(), path, install.OpenOptions{})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				return install.Run(t.Context(), s, test.target, test.opts)
			}
			s, err := install.Open(t.Context(), path, install.OpenOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			plan, err := install.Plan(t.Context(), s, test.target, test.opts)
			if err != nil || len(plan.Steps) == 0 || !strings.Contains(plan.Steps[0].What, test.plan) {
				t.Errorf("plan: %+v, %v; want %q", plan, err, test.plan)
			}
			res, err := run()
			if err != nil || res.Already || res.Counts.Images != 2 || limits == 0 {
				t.Fatalf("first: %+v, %v, memory was bounded %d times", res, err, limits)
			}
			again, err := run()
			if test.again == nil && (err != nil || !again.Already) || test.again != nil && !errors.Is(err, test.again) {
				t.Errorf("again: %+v, %v; want %v", again, err, test.again)
			}
			if _, err := os.Stat(image.PartialName(res.Path)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("something is left in the making: %v", err)
			}
		})
	}
}
