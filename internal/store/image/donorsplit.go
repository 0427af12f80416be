package image

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/klauspost/compress/gzip"
	"github.com/nodeseal/nodeseal/internal/erofs"
	"github.com/nodeseal/nodeseal/internal/store"
)

// splitLevel is how tar-splits are compressed.
const splitLevel = gzip.BestSpeed

// checkSplits looks whether this program would compress a tar-split to the same bytes:
// they are taken as they are, and another version may have another compressor. It
// makes one again, the largest of at most 1 MiB.
func (d *donor) checkSplits() error {
	r, err := erofs.NewReader(d.file, d.size)
	if err != nil {
		return err
	}
	var largest erofs.File
	for _, diffID := range slices.Sorted(maps.Keys(d.layers)) {
		f, err := r.Lookup(store.TarSplitFile(d.layers[diffID].id))
		if err != nil {
			return err
		}
		if f.Size <= 1<<20 && f.Size > largest.Size {
			largest = f
		}
	}
	if largest.Size == 0 {
		return nil
	}
	have, err := io.ReadAll(r.Open(largest))
	if err != nil {
		return fmt.Errorf("reading a tar-split: %w", err)
	}
	again, err := recompress(have)
	if err != nil {
		return fmt.Errorf("making a tar-split again: %w", err)
	}
	if !bytes.Equal(again, have) {
		return errors.New("its tar-splits are compressed as by another version of this program")
	}
	return nil
}

// recompress compresses a tar-split as this program does.
func recompress(split []byte) ([]byte, error) {
	plain, err := gzip.NewReader(bytes.NewReader(split))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, splitLevel)
	if err == nil {
		_, err = io.Copy(w, plain)
		err = errors.Join(err, w.Close())
	}
	return out.Bytes(), err
}
