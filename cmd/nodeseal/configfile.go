package main

import (
	"errors"
	"fmt"
	"io"
)

// maxConfig bounds a configuration file that is read, in bytes.
const maxConfig = 16 << 20

// configFile is a generated file: its text on standard output, or with --json
// its path on the node too.
type configFile struct {
	Name    string `json:"name"`
	Content string `json:"content"`
}

func (c configFile) WriteText(w io.Writer) error {
	_, err := io.WriteString(w, c.Content)
	return err
}

// readAllClose reads r to its end and closes it. name is for the error.
func readAllClose(r io.ReadCloser, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxConfig+1))
	if err == nil && len(data) > maxConfig {
		err = fmt.Errorf("longer than %d bytes", maxConfig)
	}
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return data, nil
}
