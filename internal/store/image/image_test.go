package image_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/filelock"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
	"github.com/opencontainers/go-digest"
	"go.podman.io/storage/pkg/reexec"
)

func TestMain(m *testing.M) {
	// The library mounts deep images in processes of this program.
	if reexec.Init() {
		return
	}
	os.Exit(m.Run())
}

// needEROFS wants a machine on which images can be made and mounted.
func needEROFS(t testing.TB) {
	t.Helper()
	testenv.NeedRoot(t)
	err := image.Supported(t.Context(), t.TempDir())
	testenv.Require(t, err == nil, "the test needs EROFS: %v", err)
}

func importImage(t testing.TB, src store.Source, path string, jobs int) *image.Result {
	t.Helper()
	res, err := image.Import(t.Context(), src, path, store.ImportOptions{Jobs: jobs})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// mount mounts an image until the end of the test.
func mount(t testing.TB, path string) string {
	t.Helper()
	point := t.TempDir()
	if err := seal.MountImage(path, point, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := seal.UnmountImage(point); err != nil {
			t.Error(err)
		}
	})
	return point
}

func fsck(t testing.TB, path string) {
	t.Helper()
	out, err := exec.Command(testenv.NeedTool(t, "fsck.erofs"), "-d3", "--extract", path).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "No errors found") {
		t.Errorf("fsck.erofs: %v\n%s", err, out)
	}
}

// sources are what images are made of in these tests.
func sources(t testing.TB) map[string]*storetest.Source {
	out := make(map[string]*storetest.Source)
	for _, form := range []bundle.LayerForm{bundle.Expanded, bundle.Original} {
		src := storetest.NewSource(t, form)
		storetest.Images(t, src)
		out[string(form)] = src
		src = storetest.NewSource(t, form)
		src.Add(storetest.Image{Repository: "quay.io/a/strange", Layers: storetest.Strange(t), Created: "2024-02-03T04:05:06Z"})
		src.Add(storetest.Image{Repository: "quay.io/a/kernel", Layers: [][]byte{storetest.Tar(t, kernelRules()...)}})
		out["strange-"+string(form)] = src
	}
	out["empty"] = storetest.NewSource(t, bundle.Expanded)
	return out
}

// kernelRules are entries of which the kernel makes something else than they say.
func kernelRules() []storetest.Entry {
	list := func(entries ...string) string { return "\x02\x00\x00\x00" + strings.Join(entries, "") }
	id := func(tag, perm byte, id byte) string { return string([]byte{tag, 0, perm, 0, id, 0, 0, 0}) }
	none := func(tag, perm byte) string { return string([]byte{tag, 0, perm, 0, 0xff, 0xff, 0xff, 0xff}) }
	named := list(none(1, 7), id(2, 6, 9), none(4, 5), id(8, 4, 3), none(16, 3), none(32, 1))
	plain := list(none(1, 6), none(4, 4), none(32, 0))
	const access, fallback = "system.posix_acl_access", "system.posix_acl_default"
	capability := "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	return []storetest.Entry{
		storetest.File("acl", "x").Perm(0o4640).Xattr(access, named),
		storetest.File("acl-plain", "x").Perm(0o777).Xattr(access, plain),
		storetest.File("acl-ids", "x").Xattr(access, strings.ReplaceAll(named, "\xff\xff\xff\xff", "\x07\x00\x00\x00")),
		storetest.Symlink("acl-link", "x").Xattr(access, named),
		storetest.Dir("inherits").Xattr(fallback, named), storetest.File("inherits/file", "x").Perm(0o664),
		storetest.Dir("inherits/dir"), storetest.File("inherits/implied/file", "x"), storetest.Symlink("inherits/link", "file"),
		storetest.File("inherits/.wh.gone", ""), storetest.Device("inherits/null", 1, 3),
		storetest.Dir("inherits-plain").Xattr(fallback, plain), storetest.File("inherits-plain/file", "x").Perm(0o600),
		storetest.File("inherits-plain/implied/file", "x"),
		storetest.File("unknown", "x").Xattr("no.such.space", "v"), storetest.File("system", "x").Xattr("system.other", "v"),
		storetest.File("capable", "x").Xattr("security.capability", capability),
		storetest.Link("given-away", "capable").Owner(5, 5),
		storetest.Device("large", 1<<12|7, 1<<20|300),
		storetest.File("empty-xattr", "x").Xattr("user.empty", ""),
	}
}

// TestAsDirectory compares images with directory stores of the same sources, which
// package dir compares with the library's: both have all that the kernel shows.
func TestAsDirectory(t *testing.T) {
	needEROFS(t)
	for name, src := range sources(t) {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			want, path := filepath.Join(parent, "store"), filepath.Join(parent, "store.erofs")
			if _, err := dir.Import(t.Context(), src, want, store.ImportOptions{}); err != nil {
				t.Fatal(err)
			}
			res := importImage(t, src, path, 3)
			got := mount(t, path)
			if d := storetest.Diff(storetest.DescribeTree(t, want, storetest.TreeOptions{}), storetest.DescribeTree(t, got, storetest.TreeOptions{})); d != "" {
				t.Errorf("trees differ:\n%s", d)
			}
			fsck(t, path)
			checkFiles(t, parent, res)
		})
	}
}

// checkFiles wants nothing beside the image but its digest, which is right.
func checkFiles(t *testing.T, parent string, res *image.Result) {
	t.Helper()
	data, err := os.ReadFile(res.Path)
	if err != nil {
		t.Fatal(err)
	}
	if digest.FromBytes(data) != res.Digest || int64(len(data)) != res.Size {
		t.Errorf("the image has %d bytes and %s, the result says %d and %s", len(data), digest.FromBytes(data), res.Size, res.Digest)
	}
	cmd := exec.Command(testenv.NeedTool(t, "sha256sum"), "-c", filepath.Base(res.Path)+image.DigestSuffix)
	cmd.Dir = filepath.Dir(res.Path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("sha256sum: %v: %s", err, out)
	}
	entries, err := os.ReadDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("%s is left", e.Name())
		}
	}
}

func TestDeterministic(t *testing.T) {
	needEROFS(t)
	ext4, xfs := testenv.NeedFS(t, "ext4"), testenv.NeedFS(t, "xfs")
	for name, src := range sources(t) {
		digests := make(map[digest.Digest][]string)
		for _, at := range []string{ext4, xfs} {
			for _, jobs := range []int{1, 8} {
				path := filepath.Join(at, "store.erofs")
				res := importImage(t, src, path, jobs)
				digests[res.Digest] = append(digests[res.Digest], path)
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
		}
		if len(digests) != 1 {
			t.Errorf("%s: %d different images: %v", name, len(digests), digests)
		}
	}
}

func TestResultAndProgress(t *testing.T) {
	needEROFS(t)
	src := storetest.NewSource(t, bundle.Expanded)
	storetest.Images(t, src)
	done, totals := make(map[string]int64), make(map[string]int64)
	events := make(chan progress.Event, 100_000)
	path := filepath.Join(t.TempDir(), "missing", "store.erofs")
	res, err := image.Import(t.Context(), src, path, store.ImportOptions{Progress: func(e progress.Event) { events <- e }})
	if err != nil {
		t.Fatal(err)
	}
	close(events)
	for e := range events {
		done[e.Phase] += e.N
		totals[e.Phase] += e.Total
	}
	for _, phase := range []string{"plan", "import", "hash", "check"} {
		if totals[phase] == 0 || done[phase] != totals[phase] {
			t.Errorf("phase %s: %d of %d", phase, done[phase], totals[phase])
		}
	}
	if res.Images != 5 || res.References != 7 || res.Extracted != 4 || res.Layers <= res.Extracted || res.Files == 0 ||
		res.Contents == 0 || res.Inodes == 0 || res.Bytes != totals["import"] {
		t.Errorf("result %+v", res)
	}
}

// TestTakesOver begins where a killed import left its files and its mount.
func TestTakesOver(t *testing.T) {
	needEROFS(t)
	src := storetest.NewSource(t, bundle.Expanded)
	src.Add(storetest.Image{Repository: "quay.io/a/b", Layers: [][]byte{storetest.Tar(t, storetest.File("a", "b"))}})
	parent := t.TempDir()
	first := filepath.Join(parent, "first.erofs")
	want := importImage(t, src, first, 0)
	path := filepath.Join(parent, "store.erofs")
	work := filepath.Join(parent, ".store.erofs.check", "image")
	if err := os.MkdirAll(work, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := seal.MountImage(first, work, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(image.PartialName(path), bytes.Repeat([]byte("left"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := importImage(t, src, path, 0); got.Digest != want.Digest {
		t.Errorf("another image after a killed import")
	}
	if _, err := os.Lstat(filepath.Dir(work)); !errors.Is(err, os.ErrNotExist) {
		t.Error("the work directory is left")
	}
}

// TestBusy has two imports to one path.
func TestBusy(t *testing.T) {
	needEROFS(t)
	src := storetest.NewSource(t, bundle.Expanded)
	storetest.Images(t, src)
	path := filepath.Join(t.TempDir(), "store.erofs")
	inside, release := make(chan struct{}), make(chan struct{})
	failed := make(chan error, 1)
	stopped := errors.New("stopped")
	go func() {
		first := true
		_, err := image.Import(context.Background(), brokenSource{src, func(int) error {
			if first {
				first = false
				close(inside)
				<-release
			}
			return stopped
		}}, path, store.ImportOptions{Jobs: 1})
		failed <- err
	}()
	select {
	case <-inside:
	case err := <-failed:
		t.Fatalf("the first import ended: %v", err)
	}
	if _, err := image.Import(t.Context(), src, path, store.ImportOptions{}); !errors.Is(err, filelock.ErrBusy) {
		t.Errorf("error %v", err)
	}
	close(release)
	if err := <-failed; !errors.Is(err, stopped) {
		t.Error(err)
	}
	importImage(t, src, path, 0)
}
