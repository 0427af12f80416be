// Package dryrun holds what a command would do if it were run without --dry-run.
package dryrun

import (
	"io/fs"
	"path/filepath"
	"syscall"
)

// Step is one change.
type Step struct {
	// Do is what would be done, as "remove" or "write"; What is to which file, slot or store.
	Do   string `json:"do"`
	What string `json:"what"`
	// Bytes are how many that takes or gives back, 0 if they do not count.
	Bytes int64 `json:"bytes,omitempty"`
}

// Plan are the changes in their order. The zero value changes nothing.
type Plan struct {
	Steps []Step `json:"would"`
	// Notes are sentences for people about what decides on the steps.
	Notes []string `json:"notes,omitempty"`
}

// Add adds a step.
func (p *Plan) Add(do, what string, bytes int64) {
	p.Steps = append(p.Steps, Step{Do: do, What: what, Bytes: bytes})
}

// Note adds a sentence.
func (p *Plan) Note(sentence string) { p.Notes = append(p.Notes, sentence) }

// Size returns how many bytes the file or the tree at path takes on the disk. What
// cannot be read counts as nothing.
func Size(path string) int64 {
	var total int64
	_ = filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // see above
		}
		if info, err := d.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				total += st.Blocks * 512
			}
		}
		return nil
	})
	return total
}
