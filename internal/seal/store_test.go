package seal

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// flagNoDump is FS_NODUMP_FL of linux/fs.h: a flag that is none of the seal's.
const flagNoDump = 0x40

// fakeStore is a directory laid out as a store of a few layers.
type fakeStore struct {
	dir    string
	layers []string
}

// newStore lays a store of n layers out below parent. Each layer has a few
// files, as an image would bring them.
func newStore(t testing.TB, parent string, n int) *fakeStore {
	t.Helper()
	s := &fakeStore{dir: filepath.Join(parent, "store")}
	for _, dir := range []string{"overlay-images/0abc", "overlay-layers", "overlay/l", "nodeseal/attachments", "other"} {
		s.mkdir(t, dir)
	}
	s.write(t, "overlay-images/images.json", "[]")
	s.write(t, "overlay-images/images.lock", strings.Repeat("i", 64))
	s.write(t, "overlay-images/0abc/manifest", "{}")
	s.write(t, "overlay-layers/layers.json", "[]")
	s.write(t, "overlay-layers/layers.lock", strings.Repeat("l", 64))
	s.write(t, "nodeseal/inventory.json", "{}")
	s.write(t, "nodeseal/attachments/sig", "x")
	s.write(t, "other/file", "not the seal's business")
	for i := range n {
		id := fmt.Sprintf("%064x", i+1)
		layer := "overlay/" + id
		s.layers = append(s.layers, id)
		s.mkdir(t, layer+"/diff/etc")
		s.mkdir(t, layer+"/work")
		s.write(t, layer+"/link", fmt.Sprintf("%026d", i))
		if i > 0 {
			s.write(t, layer+"/lower", "l/"+fmt.Sprintf("%026d", i-1))
			s.write(t, layer+"/lower-layers", s.layers[i-1])
		}
		s.write(t, layer+"/diff/etc/conf", "from the image")
		s.write(t, layer+"/diff/etc/other", "from the image")
		s.write(t, "overlay-layers/"+id+".tar-split.gz", "x")
		if err := os.Symlink("../"+id+"/diff", filepath.Join(s.dir, fmt.Sprintf("overlay/l/%026d", i))); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { s.free(t) })
	return s
}

func (s *fakeStore) path(name string) string { return filepath.Join(s.dir, name) }

func (s *fakeStore) mkdir(t testing.TB, name string) {
	t.Helper()
	if err := os.MkdirAll(s.path(name), 0o755); err != nil {
		t.Fatal(err)
	}
}

func (s *fakeStore) write(t testing.TB, name, content string) {
	t.Helper()
	if err := os.WriteFile(s.path(name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// free undoes whatever a test left, so that its folder can be removed.
func (s *fakeStore) free(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(s.dir); err != nil {
		return
	}
	for unix.Unmount(s.dir, unix.MNT_DETACH) == nil {
	}
	for name, flags := range s.flags(t) {
		if flags&flagImmutable != 0 {
			setFlags(t, s.path(name), flags&^flagImmutable)
		}
	}
}

// flags reads the flags of every file and directory, with its own walk.
func (s *fakeStore) flags(t testing.TB) map[string]int {
	t.Helper()
	out := make(map[string]int)
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() && !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
		name, _ := filepath.Rel(s.dir, path)
		if err == nil {
			out[name] = int(flags)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// immutable lists what has the flag, sorted.
func (s *fakeStore) immutable(t testing.TB) []string {
	t.Helper()
	var out []string
	for name, flags := range s.flags(t) {
		if flags&flagImmutable != 0 {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// want is what the seal must cover, by the words of the package's comment.
func (s *fakeStore) want() []string {
	out := []string{"overlay", "overlay/l", "overlay-images", "overlay-images/0abc", "overlay-images/0abc/manifest",
		"overlay-images/images.json", "overlay-images/images.lock", "overlay-layers", "overlay-layers/layers.json",
		"overlay-layers/layers.lock", "nodeseal", "nodeseal/inventory.json", "nodeseal/attachments", "nodeseal/attachments/sig"}
	for i, id := range s.layers {
		out = append(out, "overlay/"+id, "overlay/"+id+"/link", "overlay-layers/"+id+".tar-split.gz")
		if i > 0 {
			out = append(out, "overlay/"+id+"/lower", "overlay/"+id+"/lower-layers")
		}
	}
	slices.Sort(out)
	return out
}

// files lists everything in the store.
func (s *fakeStore) files(t testing.TB) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(s.dir, func(path string, _ fs.DirEntry, err error) error {
		out = append(out, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func setFlags(t testing.TB, path string, flags int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags); err != nil {
		t.Fatalf("flags of %s: %v", path, err)
	}
}

// rmrf is what the seal must withstand. It ignores rm's complaints.
func rmrf(t testing.TB, dir string) {
	t.Helper()
	out, err := exec.Command("rm", "-rf", dir).CombinedOutput()
	t.Logf("rm -rf: %v, %d bytes of complaints", err, len(out))
}
