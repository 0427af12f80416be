package dir_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/testenv"
	"go.podman.io/storage/pkg/reexec"
)

func TestMain(m *testing.M) {
	// The library unpacks layers in processes of this program.
	if reexec.Init() {
		return
	}
	os.Exit(m.Run())
}

func TestImport(t *testing.T) {
	testenv.NeedRoot(t)
	src := storetest.NewSource(t, bundle.Expanded)
	src.Add(storetest.Image{Repository: "quay.io/a/one", Tags: []string{"v1"}, Compression: "gzip", Layers: [][]byte{
		storetest.Tar(t, storetest.Dir("etc/"), storetest.File("etc/hosts", "localhost\n")),
		storetest.Tar(t, storetest.File("etc/.wh.hosts", ""), storetest.File("deep/er/file", "x")),
	}})
	target := filepath.Join(t.TempDir(), "store")
	res, err := dir.Import(t.Context(), src, target, dir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", res)
	if _, err := os.Lstat(dir.PartialName(target)); err == nil {
		t.Error("the partial directory is still there")
	}
}
