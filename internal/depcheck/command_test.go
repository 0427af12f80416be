package depcheck

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCommandIsThin holds that cmd/nodeseal stays flags, wiring and words: its size in
// lines without tests, and that none of its files opens a tar or the inside of a slot.
func TestCommandIsThin(t *testing.T) {
	t.Parallel()
	const most = 5500
	paths, err := filepath.Glob("../../cmd/nodeseal/*.go")
	if err != nil || len(paths) == 0 {
		t.Fatalf("files of cmd/nodeseal: %d, %v", len(paths), err)
	}
	lines := 0
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines += bytes.Count(data, []byte("\n"))
		for _, inside := range []string{
			`"archive/tar"`, module + "/internal/store/dir", module + "/internal/store/image", module + "/internal/store/extract",
			module + "/internal/store/tarsplit", module + "/internal/store/blob", module + "/internal/rmtree", module + "/internal/erofs",
		} {
			if bytes.Contains(data, []byte(inside)) {
				t.Errorf("%s imports %s: that is the business of an internal package", path, inside)
			}
		}
	}
	if lines > most {
		t.Errorf("cmd/nodeseal has %d lines without tests, more than %d: move logic to an internal package", lines, most)
	}
}
