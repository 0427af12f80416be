package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/nodeseal/nodeseal/internal/atomicfile"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/manifest"
)

// configFiles are several generated files.
type configFiles struct {
	Files []configFile `json:"files"`
}

// WriteText prints each file below its name, as a comment in all of their formats.
func (c configFiles) WriteText(w io.Writer) error {
	for i, f := range c.Files {
		if i > 0 {
			if _, err := io.WriteString(w, "\n"); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintf(w, "# %s\n%s", f.Name, f.Content); err != nil {
			return err
		}
	}
	return nil
}

// write writes the files below dir, which stands for the node's /.
func (c configFiles) write(dir string) error {
	for _, f := range c.Files {
		path := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("writing configuration: %w", err)
		}
		if err := atomicfile.WriteBytes(path, 0o644, []byte(f.Content)); err != nil {
			return fmt.Errorf("writing configuration: %w", err)
		}
	}
	return nil
}

// names returns the names of the files.
func (c configFiles) names() []string {
	names := make([]string, len(c.Files))
	for i, f := range c.Files {
		names[i] = f.Name
	}
	return names
}

// left returns what else in dir looks like a file of config all.
func (c configFiles) left(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("looking for files of earlier runs: %w", err)
	}
	numbered := regexp.MustCompile(`^\d\d-.*\.yaml$`)
	var names []string
	for _, e := range entries {
		if numbered.MatchString(e.Name()) && !slices.Contains(c.names(), e.Name()) {
			names = append(names, e.Name())
		}
	}
	err = fs.WalkDir(os.DirFS(dir), manifest.ReviewDir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !slices.Contains(c.names(), name) {
			names = append(names, name)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("looking for files of earlier runs: %w", err)
	}
	return names, nil
}
