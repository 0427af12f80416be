//go:build attacks

package attacks

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/layerrules"
	"github.com/nodeseal/nodeseal/bundle/seekable"
)

// zipped is a content behind gzip.
func zipped(t *testing.T, plain content) content {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, err := io.Copy(z, plain())
	must(t, err)
	must(t, z.Close())
	return func() io.Reader { return bytes.NewReader(out.Bytes()) }
}

// TestUnsaidLength imports a layer of 512 MiB, of which the bundle does not say how long it
// is, to where there is less room.
func TestUnsaidLength(t *testing.T) {
	r := newRelease(bundle.Original, seekable.FrameSize)
	plain := zeros(t, "file", 512<<20)
	r.add(t, plain, zipped(t, plain), 0)
	r.inv.Images[0].Layers[0].DiffSize = 0
	path := r.write(t)
	for _, c := range []struct{ name, flag, file string }{{"import", "--store", "store"}, {"import into an image", "--image-out", "x.erofs"}} {
		dir := t.TempDir()
		must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"))
		t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
		args := []string{"import", path, c.flag, filepath.Join(dir, c.file)}
		if c.flag == "--store" {
			args = append(args, "--no-seal")
		}
		attack{
			Name: "disk: 512 MiB of zeros behind gzip, its length not said, 64 MiB of room: " + c.name, Before: "writes until the disk is full",
			Exit: 5, Says: "free",
			After: func(t *testing.T, _ outcome) {
				var st unix.Statfs_t
				must(t, unix.Statfs(dir, &st))
				if used := int64(st.Blocks-st.Bfree) * st.Bsize; used > 8*mib {
					t.Errorf("it left %d MiB", used/mib)
				}
			},
		}.run(t, args...)
	}
}

// TestRecordsBomb has records of a store that are long and say nothing.
func TestRecordsBomb(t *testing.T) {
	a, flags := filledSlots(t)
	for _, file := range []string{"overlay-images/images.json", "overlay-layers/layers.json"} {
		path := filepath.Join(a, file)
		old, err := os.ReadFile(path)
		must(t, err)
		f, err := os.Create(path)
		must(t, err)
		_, err = io.Copy(f, io.MultiReader(strings.NewReader("["), &repeated{each: "{},", left: (32<<20 - 6) / 3 * 3}, strings.NewReader("{}]")))
		must(t, err)
		must(t, f.Close())
		name := "slot: " + filepath.Base(file) + " of 32 MiB that says nothing, "
		attack{Name: name + "status", Before: "not tried", Exit: 4, Says: "JSON of too many values"}.run(t, append([]string{"status"}, flags...)...)
		attack{Name: name + "verify", Before: "not tried", Exit: 4, Says: "larger than it can be"}.run(t, "verify", a)
		attack{Name: name + "retire", Before: "not tried", Exit: 4, Says: "JSON of too many values"}.run(t, append([]string{"retire", "a"}, flags...)...)
		must(t, os.WriteFile(path, old, 0o600))
	}
}

// TestTarSplitBomb has a tar-split that unpacks to more than its layer's can be.
func TestTarSplitBomb(t *testing.T) {
	a, _ := filledSlots(t)
	splits, err := filepath.Glob(filepath.Join(a, "overlay-layers", "*.tar-split.gz"))
	if err != nil || len(splits) == 0 {
		t.Fatal("no tar-splits", err)
	}
	f, err := os.Create(splits[0])
	must(t, err)
	z := gzip.NewWriter(f)
	_, err = io.Copy(z, &repeated{each: " ", left: 256 << 20})
	must(t, err)
	must(t, z.Close())
	must(t, f.Close())
	attack{Name: "slot: a tar-split of 260 kB that unpacks to 256 MiB, verify", Before: "430 MB, minutes", Exit: 4}.run(t, "verify", a)
}

// TestOwners has a layer of which each file belongs to another user.
func TestOwners(t *testing.T) {
	plain := func() io.Reader {
		r, w := io.Pipe()
		go func() {
			tw := tar.NewWriter(w)
			var err error
			for i := 0; i <= layerrules.MaxOwners && err == nil; i++ {
				err = tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprint(i), Mode: 0o644, Uid: i, Gid: i, Format: tar.FormatUSTAR})
			}
			if err == nil {
				err = tw.Close()
			}
			w.CloseWithError(err)
		}()
		t.Cleanup(func() { r.Close() })
		return r
	}
	r := newRelease(bundle.Expanded, seekable.FrameSize)
	r.add(t, plain, nil, 0)
	path := r.write(t)
	for command, args := range map[string][]string{
		"verify": {"verify", path},
		"import": {"import", path, "--no-seal", "--store", filepath.Join(t.TempDir(), "store")},
	} {
		attack{
			Name: "bombs: a layer whose files belong to 65,537 users: " + command, Before: "exit 0",
			Exit: 4, Says: "more owners than a store records",
		}.run(t, args...)
	}
}

// TestCredentialHelper has a credential helper that never answers, and starts another
// program that holds its output.
func TestCredentialHelper(t *testing.T) {
	bin := t.TempDir()
	pid := filepath.Join(bin, "pid")
	script := "#!/bin/sh\nsleep 100000 &\necho $! > " + pid + "\nwait\n"
	must(t, os.WriteFile(filepath.Join(bin, "docker-credential-hangs"), []byte(script), 0o755))
	auth := write(t, "auth.json", `{"credHelpers":{"127.0.0.1:9":"hangs"}}`)
	attack{
		Name: "network: a credential helper that never answers", Before: "hangs for ever",
		Exit: 1, Says: "docker-credential-hangs", Env: []string{"PATH=" + bin + ":" + os.Getenv("PATH")},
		After: func(t *testing.T, _ outcome) {
			data, err := os.ReadFile(pid)
			must(t, err)
			for range 100 {
				// One that ended and that nothing waits for has none.
				if line, _ := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(data)), "cmdline")); len(line) == 0 {
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
			t.Error("what the helper started still runs")
		},
	}.run(t, "bundle", "--images", write(t, "images.lst", "127.0.0.1:9/a/b@sha256:"+strings.Repeat("0", 64)+"\n"), "--authfile", auth,
		"--work", filepath.Join(t.TempDir(), "work"), "-o", filepath.Join(t.TempDir(), "x.tar.zst"))
}

// pods writes a list of n pods.
func pods(t *testing.T, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pods.json")
	f, err := os.Create(path)
	must(t, err)
	_, err = io.WriteString(f, `{"kind":"List","apiVersion":"v1","items":[`)
	must(t, err)
	for i := range n {
		comma := ","
		if i == 0 {
			comma = ""
		}
		_, err := fmt.Fprintf(f, `%s{"kind":"Pod","apiVersion":"v1","metadata":{"name":"pod-%d","namespace":"ns-%d","annotations":{"x":"%s"}},
"spec":{"nodeName":"node-%d","containers":[{"name":"c","image":"quay.io/acme/image-%d@sha256:%064x","imagePullPolicy":"IfNotPresent"}]},
"status":{"phase":"Running"}}`, comma, i, i%300, strings.Repeat("a", 3000), i%100, i%800, i%800)
		must(t, err)
	}
	_, err = io.WriteString(f, "]}")
	must(t, err)
	must(t, f.Close())
	return path
}

// TestManyPods audits as many pods as a large cluster has. Four times as many take no more
// than four times as long, with room for noise; what is compared each with each other would
// take sixteen times.
func TestManyPods(t *testing.T) {
	few := nodeseal(t, "", nil, nil, "audit", "--objects", pods(t, 5_000))
	many := attack{Name: "memory: 20,000 pods: audit", Before: "152 MiB", Exit: few.Exit}.run(t, "audit", "--objects", pods(t, 20_000))
	t.Logf("5,000 pods: %v of processor time; 20,000: %v", few.CPU, many.CPU)
	if many.CPU > 8*few.CPU+time.Second {
		t.Errorf("5,000 pods take %v of processor time, 20,000 %v", few.CPU, many.CPU)
	}
}

// TestSlotRecords has what is no file in the place of a slot's records.
func TestSlotRecords(t *testing.T) {
	a, flags := filledSlots(t)
	for _, file := range []string{"overlay-images/images.json", "overlay-layers/layers.json", "nodeseal/references.json"} {
		path := filepath.Join(a, file)
		must(t, os.Rename(path, path+".old"))
		for kind, put := range map[string]func() error{
			"a named pipe":        func() error { return unix.Mkfifo(path, 0o600) },
			"a link to /dev/zero": func() error { return os.Symlink("/dev/zero", path) },
		} {
			must(t, put())
			name := "slot: " + kind + " for " + filepath.Base(file) + ": "
			attack{Name: name + "status", Before: "not tried", Exit: 4, Says: "not a regular file"}.run(t, append([]string{"status"}, flags...)...)
			attack{Name: name + "verify", Before: "not tried", Exit: 4}.run(t, "verify", a)
			must(t, os.Remove(path))
		}
		must(t, os.Rename(path+".old", path))
	}
}
