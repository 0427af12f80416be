package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/layout"
	"github.com/opencontainers/go-digest"
)

// originals are the layers that the store must keep as the registry has them.
func (c *checker) originals() []store.Original {
	if c.plan == nil {
		return nil
	}
	return c.plan.Originals
}

// keeping returns which images need each layer that is kept as the registry has it.
func keeping(images []*bundle.Image) map[digest.Digest][]string {
	out := make(map[digest.Digest][]string)
	for _, img := range images {
		if !img.Exact() {
			continue
		}
		for _, l := range img.Layers {
			out[l.Digest] = append(append(out[l.Digest], img.Ref), img.Names...)
		}
	}
	return out
}

// originalsThere looks at each without reading it, where something else proves the bytes.
func (c *checker) originalsThere() {
	for _, o := range c.originals() {
		f, err := c.openOriginal(o)
		if err == nil {
			err = f.Close()
		}
		c.sawOriginal(o, err)
	}
}

// original verifies one.
func (c *checker) original(ctx context.Context, o store.Original) error {
	f, err := c.openOriginal(o)
	if err == nil {
		_, err = io.Copy(io.Discard, &reading{ctx: ctx, r: layout.NewVerifier(f, o.Digest, o.Size), read: c.opts.Read})
		err = errors.Join(err, f.Close())
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if machineFault(err) {
		return fmt.Errorf("layer %s: %w", o.Digest, err)
	}
	c.sawOriginal(o, err)
	return nil
}

// reading tells how many bytes come, and ends with ctx.
type reading struct {
	ctx  context.Context //nolint:containedctx // of one call
	r    io.Reader
	read func(n int64)
}

// Read implements io.Reader.
func (r *reading) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.r.Read(b)
	if r.read != nil {
		r.read(int64(n))
	}
	return n, err
}

// openOriginal opens one that has the right attributes.
func (c *checker) openOriginal(o store.Original) (*os.File, error) {
	f, err := safefile.Open(filepath.Join(c.dir, filepath.FromSlash(o.Path())))
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		st, ok := info.Sys().(*syscall.Stat_t)
		switch {
		case info.Mode() != store.OriginalMode:
			err = fmt.Errorf("its mode is %v, want %v", info.Mode(), os.FileMode(store.OriginalMode))
		case ok && (st.Uid != 0 || st.Gid != 0):
			err = fmt.Errorf("its owner is %d:%d, want 0:0", st.Uid, st.Gid)
		case info.Size() != o.Size:
			err = fmt.Errorf("it has %d bytes, want %d", info.Size(), o.Size)
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// sawOriginal notes what was found of one.
func (c *checker) sawOriginal(o store.Original, err error) {
	if err != nil {
		c.finding(o.Path(), err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.report.Originals++
		c.report.OriginalBytes += o.Size
		return
	}
	for _, name := range c.keeping[o.Digest] {
		c.hurt[name] = true
	}
}
