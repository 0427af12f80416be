package site

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
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/manifest"
)

// File is a generated file: its text, and as JSON its path on the node too.
type File struct {
	Name    string `json:"name"`
	Content string `json:"content"`
}

// WriteText prints the content.
func (f File) WriteText(w io.Writer) error {
	_, err := io.WriteString(w, f.Content)
	return err
}

// Files are several generated files.
type Files struct {
	Files []File `json:"files"`
}

// NodeFiles returns the files and units of settings under their names on a node.
func NodeFiles(s machine.Settings) (Files, error) {
	var out Files
	files, err := s.Tree()
	for _, f := range files {
		out.Files = append(out.Files, File{Name: f.Path, Content: string(f.Content)})
	}
	return out, err
}

// WriteText prints each file below its name, as a comment in all of their formats.
func (f Files) WriteText(w io.Writer) error {
	for i, file := range f.Files {
		if i > 0 {
			if _, err := io.WriteString(w, "\n"); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintf(w, "# %s\n%s", file.Name, file.Content); err != nil {
			return err
		}
	}
	return nil
}

// Write writes the files below dir, which stands for the node's /.
func (f Files) Write(dir string) error {
	for _, file := range f.Files {
		path := filepath.Join(dir, file.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("writing configuration: %w", err)
		}
		if err := atomicfile.WriteBytes(path, 0o644, []byte(file.Content)); err != nil {
			return fmt.Errorf("writing configuration: %w", err)
		}
	}
	return nil
}

// Names returns the names of the files.
func (f Files) Names() []string {
	names := make([]string, len(f.Files))
	for i, file := range f.Files {
		names[i] = file.Name
	}
	return names
}

// Left returns what else in dir looks like a file of Cluster.Files, of an earlier run.
func (f Files) Left(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("looking for files of earlier runs: %w", err)
	}
	numbered := regexp.MustCompile(`^\d\d-.*\.yaml$`)
	var names []string
	for _, e := range entries {
		if numbered.MatchString(e.Name()) && !slices.Contains(f.Names(), e.Name()) {
			names = append(names, e.Name())
		}
	}
	err = fs.WalkDir(os.DirFS(dir), manifest.ReviewDir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !slices.Contains(f.Names(), name) {
			names = append(names, name)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("looking for files of earlier runs: %w", err)
	}
	return names, nil
}
