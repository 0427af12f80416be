package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

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
	return names, nil
}

// writtenFiles says which files were written.
type writtenFiles struct {
	Dir   string   `json:"dir"`
	Files []string `json:"files"`
	// Left are numbered files in Dir that an earlier run wrote and this one did not.
	Left []string `json:"left,omitempty"`
}

func (w writtenFiles) WriteText(out io.Writer) error {
	p := &printer{w: out}
	for _, name := range w.Files {
		p.line("%s", filepath.Join(w.Dir, name))
	}
	writeLeft(p, w.Dir, w.Left)
	return p.err
}

// writeLeft says which files in dir are of an earlier run.
func writeLeft(p *printer, dir string, names []string) {
	for _, name := range names {
		p.line("%s: of an earlier run, NOT part of this one: remove it, or do not apply it", filepath.Join(dir, name))
	}
}
