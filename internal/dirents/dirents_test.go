package dirents

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	var want []string
	for i := range 1000 {
		name := fmt.Sprintf("%d%s", i, strings.Repeat("x", i%250))
		want = append(want, name)
		path := filepath.Join(dir, name)
		var err error
		switch i % 3 {
		case 0:
			err = os.Mkdir(path, 0o755)
		case 1:
			err = os.WriteFile(path, nil, 0o644)
		default:
			err = os.Symlink(".", path)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	entries, err := Read(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name)
		if info, err := os.Lstat(filepath.Join(dir, e.Name)); err != nil || info.IsDir() != e.Dir {
			t.Errorf("%+v: %v", e, err)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%d names, want %d", len(got), len(want))
	}
	if _, err := Read(-1); err == nil {
		t.Error("no error for what is no directory")
	}
}
