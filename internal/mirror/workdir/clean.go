package workdir

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/internal/jsonbound"
)

// Cleaned is what Clean removed and kept.
type Cleaned struct {
	// Files and Bytes are what was removed, or would be.
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
	// Kept is how many bytes stay.
	Kept int64 `json:"kept"`
	// Unknown are the manifests to keep that are not there: nothing of theirs is
	// kept, but what other images share with them.
	Unknown []digest.Digest `json:"unknown"`
}

// Clean removes from the work directory root, which must exist, everything that
// the images of the given manifests and lists do not need. With dryRun it only
// counts. The error wraps filelock.ErrBusy while a run uses the directory.
func Clean(ctx context.Context, root string, keep []digest.Digest, dryRun bool) (*Cleaned, error) {
	if _, err := os.Stat(filepath.Join(root, dirLayers)); err != nil {
		return nil, fmt.Errorf("not a work directory of nodeseal: %w", err)
	}
	w, err := Open(root, "")
	if err != nil {
		return nil, err
	}
	defer w.Close()
	c := &cleaner{w: w, keep: make(map[string]bool), out: &Cleaned{Unknown: []digest.Digest{}}}
	for _, d := range keep {
		if !c.needs(d) {
			c.out.Unknown = append(c.out.Unknown, d)
		}
	}
	// Records first: what they name is trusted.
	for _, dir := range []string{dirLayers, dirFrames, dirCompressed, dirSmall} {
		if err := c.sweep(ctx, dir, dryRun); err != nil {
			return nil, err
		}
	}
	return c.out, nil
}

type cleaner struct {
	w    *Dir
	keep map[string]bool // paths
	out  *Cleaned
}

// needs keeps what a manifest or list needs, as far as it is there, and reports
// whether it is there itself.
func (c *cleaner) needs(d digest.Digest) bool {
	data, err := c.w.Small(d)
	if err != nil {
		return false
	}
	c.keep[c.w.smallPath(d)] = true
	var m struct {
		Manifests []v1.Descriptor `json:"manifests"`
		Config    v1.Descriptor   `json:"config"`
		Layers    []v1.Descriptor `json:"layers"`
	}
	if err := jsonbound.Unmarshal(data, &m); err != nil {
		return true // some other small blob
	}
	for _, instance := range m.Manifests {
		if instance.Digest.Validate() == nil {
			c.needs(instance.Digest)
		}
	}
	if m.Config.Digest.Validate() == nil {
		c.keep[c.w.smallPath(m.Config.Digest)] = true
	}
	for _, l := range m.Layers {
		if l.Digest.Validate() == nil {
			c.needsLayer(l.Digest)
		}
	}
	return true
}

func (c *cleaner) needsLayer(compressed digest.Digest) {
	c.keep[c.w.compressedPath(compressed)] = true
	rec := c.w.readRecord(compressed)
	if rec == nil {
		return // not finished, or of no use to any run
	}
	c.keep[c.w.recordPath(compressed)] = true
	c.keep[c.w.framesPath(rec.Blob)] = true
	c.keep[c.w.tablePath(rec.Blob)] = true
}

// sweep removes the files of a folder that are not kept.
func (c *cleaner) sweep(ctx context.Context, dir string, dryRun bool) error {
	entries, err := os.ReadDir(filepath.Join(c.w.root, dir))
	if err != nil {
		return fmt.Errorf("cleaning: %w", err)
	}
	for _, e := range entries {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		path := filepath.Join(c.w.root, dir, e.Name())
		info, err := e.Info()
		if err != nil {
			return fmt.Errorf("cleaning: %w", err)
		}
		if c.keep[path] || !ours(info) {
			c.out.Kept += info.Size()
			continue
		}
		c.out.Files++
		c.out.Bytes += info.Size()
		if !dryRun {
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("cleaning: %w", err)
			}
		}
	}
	return nil
}

// ours reports whether a file can be one of this package: its name begins with
// a digest.
func ours(info fs.FileInfo) bool {
	name, _, _ := strings.Cut(info.Name(), ".")
	return info.Mode().IsRegular() && digest.NewDigestFromEncoded(digest.SHA256, name).Validate() == nil
}
