package storageconf

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const suffix = ".conf"

// dropIns returns the drop-ins beside the main files, which are ordered from the one that
// counts most. Of several with one name the first directory's is read.
func (o Options) dropIns(mains []string) ([]string, error) {
	var dirs []string
	for _, main := range mains {
		if main != rootsOwn {
			dirs = append(dirs, strings.TrimSuffix(main, suffix)+".rootful"+suffix+".d")
		}
		dirs = append(dirs, main+".d")
	}
	byName := make(map[string]string)
	for _, dir := range slices.Backward(dirs) {
		entries, err := os.ReadDir(o.path(dir))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("looking for drop-ins of storage.conf: %w", err)
		}
		for _, e := range entries {
			if !e.IsDir() && strings.HasSuffix(e.Name(), suffix) {
				byName[e.Name()] = filepath.Join(o.path(dir), e.Name())
			}
		}
	}
	files := make([]string, 0, len(byName))
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		files = append(files, byName[name])
	}
	return files, nil
}
