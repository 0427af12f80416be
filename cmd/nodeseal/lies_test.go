package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/internal/answer"
	"github.com/nodeseal/nodeseal/internal/rmtree"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// TestLies runs every command that reads bundles on ones whose digests are all right, and
// whose inventories lie about how they belong together. Each command refuses each, with
// the same words, and leaves the slots as they were.
func TestLies(t *testing.T) {
	testenv.NeedRoot(t)
	t.Parallel()
	for _, lie := range storetest.Lies() {
		t.Run(lie.Name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			stick := filepath.Join(dir, "stick")
			disk := filepath.Join(dir, "disk")
			t.Cleanup(func() {
				if err := rmtree.RemoveAll(disk); err != nil { // with their flags
					t.Error(err)
				}
			})
			for _, d := range []string{stick, filepath.Join(disk, "etc")} {
				if err := os.MkdirAll(d, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			path := filepath.Join(stick, "b.tar.zst")
			lie.Write(t, path)
			slots := []string{"--sysroot", disk, "--root", "/slots"}
			for _, args := range [][]string{
				{"verify", path},
				{"import", path, "--no-seal", "--store", filepath.Join(dir, "store")},
				{"import", path, "--image-out", filepath.Join(dir, "x.erofs")},
				append([]string{"import", path}, slots...),
				append([]string{"reseal", path}, slots...),
				append([]string{"import-stick", stick, "--node", "n"}, slots...),
				{"audit", "--objects", "/dev/null", "--bundle", path},
				{"push", path, "127.0.0.1:9", "--recompress"}, // nothing answers there
			} {
				code, out, said := nodeseal(args...)
				if code != exitDamaged || !strings.Contains(out+said, lie.Says) || strings.Contains(out, "OK:") && !strings.Contains(out, "NOT OK:") {
					t.Errorf("%s: exit code %d, want %d and %q\n%s%s", args, code, exitDamaged, lie.Says, out, said)
				}
			}
			if told, err := os.ReadFile(filepath.Join(stick, "result-n.txt")); err != nil || !strings.Contains(string(told), lie.Says) {
				t.Errorf("the result on the stick: %q, %v", told, err)
			}
			if left, err := filepath.Glob(filepath.Join(disk, "slots", "*", "overlay", "*", "diff", "a")); err != nil || len(left) > 0 {
				t.Errorf("left in the slots: %v, %v", left, err)
			}
		})
	}
}

// TestLyingStore makes by hand the store that an import of the worst lie would make:
// the records, the inventory and the blobs agree that a foreign image is what a list's
// digest means, and every digest is right. podman would run it. verify and status name
// it, and serve does not answer it.
func TestLyingStore(t *testing.T) {
	testenv.NeedRoot(t)
	t.Parallel()
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk")
	t.Cleanup(func() {
		if err := rmtree.RemoveAll(disk); err != nil {
			t.Error(err)
		}
	})
	if err := os.MkdirAll(filepath.Join(disk, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "b.tar.zst")
	src := storetest.NewLies(t)
	src.WriteRaw(t, path, src.RawInventory())
	slots := []string{"--sysroot", disk, "--root", "/slots"}
	if code, out, said := nodeseal(append([]string{"import", path, "--no-seal"}, slots...)...); code != exitDone {
		t.Fatalf("import: exit code %d\n%s%s", code, out, said)
	}
	store := filepath.Join(disk, "slots/a")
	for _, when := range []struct {
		name string
		code int
		says string
		// answer and health are what serve answers to the list's tag and about itself.
		answer, health int
	}{
		{"right", exitDone, "", http.StatusOK, http.StatusOK},
		{"lying", exitDamaged, "it does not name sha256:", http.StatusNotFound, http.StatusServiceUnavailable},
	} {
		if when.code == exitDamaged {
			storetest.LieStore(t, store)
		}
		for _, args := range [][]string{{"verify", store}, append([]string{"status"}, slots...)} {
			code, out, said := nodeseal(args...)
			if args[0] == "status" && when.code == exitDone {
				continue // the node has no storage.conf, which is a problem too
			}
			if code != when.code || !strings.Contains(out+said, when.says) {
				t.Errorf("%s store: %s: exit code %d, want %d and %q\n%s%s", when.name, args[0], code, when.code, when.says, out, said)
			}
		}
		answers := answer.New(answer.Options{Stores: []string{store}, Now: time.Now})
		for path, right := range map[string]int{"/v2/quay.io/a/good/manifests/v1": when.answer, "/healthz": when.health, "/v2/quay.io/b/evil/manifests/1": http.StatusOK} {
			rec := httptest.NewRecorder()
			answers.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
			if rec.Code != right {
				t.Errorf("%s store: %s: %d, want %d\n%s", when.name, path, rec.Code, right, rec.Body)
			}
		}
	}
}
