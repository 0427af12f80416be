package main

import (
	"io"
	"path/filepath"
)

// names returns the names of the files.
func (c configFiles) names() []string {
	names := make([]string, len(c.Files))
	for i, f := range c.Files {
		names[i] = f.Name
	}
	return names
}

// writtenFiles says which files were written.
type writtenFiles struct {
	Dir   string   `json:"dir"`
	Files []string `json:"files"`
}

func (w writtenFiles) writeText(out io.Writer) error {
	p := &printer{w: out}
	for _, name := range w.Files {
		p.line("%s", filepath.Join(w.Dir, name))
	}
	return p.err
}
