//go:build bench

package delta

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle/delta"
)

// pairsVar names the directory that keeps the packages between runs.
const pairsVar = "NODESEAL_BENCH_PAIRS"

// packages are taken in the two latest versions that the machine's Debian mirrors have. Some have
// one only: they are left out, and named.
func packages() []string {
	return []string{
		"libssl3", "openssl", "curl", "libcurl4", "libsystemd0", "systemd", "perl-base", "python3.11-minimal",
		"libpython3.11-stdlib", "libc6", "libxml2", "git", "libexpat1", "libglib2.0-0",
	}
}

// debs returns the files of two versions of a package, the older one first, and downloads them if
// they are not in dir.
func debs(t *testing.T, dir, name string) []string {
	t.Helper()
	have, err := filepath.Glob(filepath.Join(dir, name+"_*.deb"))
	if err != nil {
		t.Fatal(err)
	}
	if len(have) < 2 {
		out, err := exec.CommandContext(t.Context(), "apt-cache", "madison", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		var versions []string
		for line := range strings.Lines(string(out)) {
			if f := strings.Split(line, "|"); len(f) > 1 && !slices.Contains(versions, strings.TrimSpace(f[1])) {
				versions = append(versions, strings.TrimSpace(f[1]))
			}
		}
		for _, v := range versions[:min(2, len(versions))] {
			c := exec.CommandContext(t.Context(), "apt-get", "download", "-qq", name+"="+v)
			c.Dir = dir
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		if have, err = filepath.Glob(filepath.Join(dir, name+"_*.deb")); err != nil {
			t.Fatal(err)
		}
	}
	slices.SortFunc(have, func(a, b string) int {
		if exec.CommandContext(t.Context(), "dpkg", "--compare-versions", version(a), "lt", version(b)).Run() == nil {
			return -1
		}
		return 1
	})
	return have
}

func version(deb string) string {
	return strings.ReplaceAll(strings.Split(filepath.Base(deb), "_")[1], "%3a", ":")
}

// layerOf is the package's files as a plain tar.
func layerOf(t *testing.T, deb string) []byte {
	t.Helper()
	data, err := exec.CommandContext(t.Context(), "dpkg-deb", "--fsys-tarfile", deb).Output()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func used() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// TestPairs tells the newer version of each package by the older one, as a layer, and prints how
// long it is beside the layer as a bundle holds it.
func TestPairs(t *testing.T) {
	dir := os.Getenv(pairsVar)
	if dir == "" {
		dir = filepath.Join("..", "..", ".bench", "pairs")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
	if err != nil {
		t.Fatal(err)
	}
	var plain, whole, told int
	var making, reading time.Duration
	fmt.Printf("| layer | plain | layer | delta | ratio |\n|---|---|---|---|---|\n")
	for _, name := range packages() {
		files := debs(t, dir, name)
		if len(files) < 2 {
			t.Logf("%s: the mirrors have one version only", name)
			continue
		}
		old, now := layerOf(t, files[0]), layerOf(t, files[len(files)-1])
		all := layers{digest.FromBytes(old): old}
		n := len(z.EncodeAll(now, nil))
		begin := used()
		var olds Olds
		scan(t, &olds, old)
		var buf bytes.Buffer
		write(t, &buf, &olds, all, now)
		making += used() - begin
		size := buf.Len()
		begin = used()
		r, err := delta.NewReader(&buf, int64(len(now)), all)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, r); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		reading += used() - begin
		if [sha256.Size]byte(sum.Sum(nil)) != sha256.Sum256(now) {
			t.Fatalf("%s: the delta makes another layer", name)
		}
		fmt.Printf("| %s %s to %s | %d | %d | %d | %.3f |\n", name, version(files[0]), version(files[len(files)-1]), len(now), n, size, float64(size)/float64(n))
		plain, whole, told = plain+len(now), whole+n, told+size
	}
	fmt.Printf("| together | %d | %d | %d | %.3f |\n", plain, whole, told, float64(told)/float64(whole))
	fmt.Printf("made with %.0f MB/s of one processor, read with %.0f MB/s\n", float64(plain)/1e6/making.Seconds(), float64(plain)/1e6/reading.Seconds())
}
