package workdir

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/atomicfile"
	"github.com/nodeseal/nodeseal/layout"
)

// writeLoose puts data at path by rename, not synced: after a power cut the
// file may be empty or not there. Who reads it verifies it. Images that share a
// configuration may write it at the same time.
func writeLoose(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*"+atomicfile.Suffix)
	if err != nil {
		return fmt.Errorf("work directory: %w", err)
	}
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name()) // the first error says more
		return fmt.Errorf("work directory: %w", err)
	}
	return nil
}

func (w *Dir) smallPath(d digest.Digest) string { return filepath.Join(w.root, dirSmall, d.Encoded()) }

// PutSmall keeps data, whose digest is d.
func (w *Dir) PutSmall(d digest.Digest, data []byte) error {
	if w.scratch != "" {
		return writeLoose(filepath.Join(w.scratch, d.Encoded()), data)
	}
	return writeLoose(w.smallPath(d), data)
}

// Small returns what PutSmall kept under d, verified.
func (w *Dir) Small(d digest.Digest) ([]byte, error) {
	f, err := os.Open(w.smallPath(d))
	if err != nil && w.scratch != "" {
		f, err = os.Open(filepath.Join(w.scratch, d.Encoded()))
	}
	if err != nil {
		return nil, fmt.Errorf("work directory: %w", err)
	}
	defer f.Close()
	return ReadSmall(f, d, -1)
}

// ReadSmall reads and verifies a small blob; a size below zero is not known.
func ReadSmall(r io.Reader, d digest.Digest, size int64) ([]byte, error) {
	if size > bundle.MaxSmallBlob {
		return nil, fmt.Errorf("blob %s: %w: %d bytes, more than %d", d, layout.ErrSize, size, bundle.MaxSmallBlob)
	}
	data, err := io.ReadAll(io.LimitReader(layout.NewVerifier(r, d, size), bundle.MaxSmallBlob+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading blob %s: %w", d, err)
	case len(data) > bundle.MaxSmallBlob:
		return nil, fmt.Errorf("blob %s: %w: more than %d bytes", d, layout.ErrSize, bundle.MaxSmallBlob)
	}
	return data, nil
}
