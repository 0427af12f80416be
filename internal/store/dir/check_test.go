package dir_test

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"testing"

	"go.podman.io/storage"
)

// checkWithLibrary opens a copy of a store as a primary one and has the library
// check everything. It says of the layers unused, and of no others, that nothing
// uses them, which it does not ask of an additional store.
func checkWithLibrary(t *testing.T, ours string, unused ...storage.Layer) {
	t.Helper()
	primary := filepath.Join(t.TempDir(), "primary")
	if out, err := exec.CommandContext(context.Background(), "cp", "-a", ours, primary).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	report, err := openLibrary(t, primary).Check(storage.CheckEverything())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range unused {
		if errs := report.Layers[l.ID]; len(errs) != 1 || !errors.Is(errs[0], storage.ErrLayerUnreferenced) {
			t.Errorf("layer %s, which no image uses: %v", l.ID, errs)
		}
		delete(report.Layers, l.ID)
	}
	for what, found := range map[string]map[string][]error{"layer": report.Layers, "image": report.Images} {
		for id, errs := range found {
			t.Errorf("%s %s: %v", what, id, errs)
		}
	}
}

// checkAsAdditional has the library check everything, the store being an
// additional one.
func checkAsAdditional(t *testing.T, lib storage.Store) {
	t.Helper()
	report, err := lib.Check(storage.CheckEverything())
	if err != nil {
		t.Fatal(err)
	}
	for what, found := range map[string]map[string][]error{
		"layer": report.Layers, "read-only layer": report.ROLayers, "image": report.Images, "read-only image": report.ROImages,
	} {
		for id, errs := range found {
			t.Errorf("%s %s: %v", what, id, errs)
		}
	}
}
