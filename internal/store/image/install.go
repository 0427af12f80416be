package image

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/build"
	"github.com/nodeseal/nodeseal/internal/store/verify"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// IsImage reports whether the file path is an EROFS image.
func IsImage(path string) bool {
	const offset, magic = 1024, 0xE0F5E1E2
	f, err := safefile.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var word [4]byte
	_, err = f.ReadAt(word[:], offset)
	return err == nil && binary.LittleEndian.Uint32(word[:]) == magic
}

// Install copies the image file from, which was made elsewhere, to path, which must
// not exist, with its digest beside it. It is checked as Import checks what it makes;
// before that nothing has the name path. Nothing of it is mounted before it has
// shown to have the digest want: else the error wraps store.ErrDamaged, as that of an
// image with no store for this machine. The other errors are those of Import.
//
// The digest proves that the file is the one that was meant, and not that its layers
// are those of its images: each is proven by its diff ID, which reads all of it once
// more, unless signed says that a key's signature covers the digest. An image with a layer
// that its files cannot prove is not taken then: the error wraps store.ErrPrecondition.
func Install(ctx context.Context, from, path string, want digest.Digest, signed bool, opts store.ImportOptions) (_ *Result, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", path, err)
	}
	if err := build.Absent(abs); err != nil {
		return nil, err
	}
	im := &importer{opts: opts.WithDefaults(), path: abs, facts: Facts{Digest: want}}
	if im.out, err = openOutput(abs); err != nil {
		return nil, err
	}
	published := false
	defer func() { err = errors.Join(err, im.out.close(published)) }()
	result := &Result{Path: abs}
	for _, step := range []func(context.Context) error{
		im.Probe,
		func(ctx context.Context) error { return im.copy(ctx, from) },
		func(ctx context.Context) error { return im.checkCopy(ctx, signed, &result.Counts) },
		func(context.Context) error { return im.out.publish(want) },
	} {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := step(ctx); err != nil {
			return nil, store.Explain(ctx, err)
		}
	}
	published = true
	result.Facts = im.facts
	return result, nil
}

// copy copies the file from, and proves its digest.
func (im *importer) copy(ctx context.Context, from string) error {
	f, err := safefile.Open(from)
	if err != nil {
		return fmt.Errorf("copying the image: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("copying the image: %w", err)
	}
	im.facts.Size = info.Size()
	if err := im.room(im.facts.Size); err != nil {
		return err
	}
	im.opts.Progress.Begin(phaseCopy, im.facts.Size, progress.Bytes)
	sum := sha256.New()
	var src io.Reader = f
	to := io.Writer(io.NewOffsetWriter(im.out.image, 0))
	if unix.IoctlFileClone(int(im.out.image.Fd()), int(f.Fd())) == nil {
		src, to = im.out.image, io.Discard // what is hashed is the clone
	}
	buf := make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := src.Read(buf)
		sum.Write(buf[:n])
		if _, err := to.Write(buf[:n]); err != nil {
			return fmt.Errorf("copying the image: %w", err)
		}
		im.opts.Progress.Add(phaseCopy, int64(n))
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("copying the image: %w", err)
		}
	}
	im.opts.Progress.End(phaseCopy)
	if got := digest.NewDigest(digest.SHA256, sum); got != im.facts.Digest {
		return fmt.Errorf("%w: %s has the digest %s, want %s", store.ErrDamaged, from, got, im.facts.Digest)
	}
	if err := im.out.image.Sync(); err != nil {
		return fmt.Errorf("syncing the image: %w", err)
	}
	return nil
}

// unprovenError reports a layer of an image made elsewhere that only the bundle can prove. It
// wraps store.ErrPrecondition.
type unprovenError struct {
	Layer string
	Why   error
}

// Error says what else proves the layer.
func (e *unprovenError) Error() string {
	return fmt.Sprintf("%s cannot be proven by its files (%v): import the bundle itself, or sign the image and name the key", e.Layer, e.Why)
}

// Unwrap returns store.ErrPrecondition.
func (e *unprovenError) Unwrap() error { return store.ErrPrecondition }

// checkCopy mounts the copy, compares its records with what its inventory makes of
// them on this machine, proves its layers unless it is signed, and opens it with the library.
func (im *importer) checkCopy(ctx context.Context, signed bool, counts *store.Counts) error {
	point, err := im.out.mount()
	if err != nil {
		return fmt.Errorf("%w: mounting the image: %w", store.ErrDamaged, err)
	}
	rep, err := verify.Store(ctx, point, verify.Options{
		Records: signed, Architecture: im.opts.Architecture, Jobs: im.opts.Jobs,
		Total: func(n int64) { im.opts.Progress.Begin(phaseProve, n, progress.Bytes) },
		Read:  func(n int64) { im.opts.Progress.Add(phaseProve, n) },
	})
	if err == nil && len(rep.Findings) > 0 {
		err = fmt.Errorf("%s: %w", rep.Findings[0].Path, rep.Findings[0].Err)
	}
	if err != nil {
		return fmt.Errorf("%w: it is not an image that nodeseal made for this machine: %w", store.ErrDamaged, err)
	}
	if len(rep.Lost) > 0 {
		return &unprovenError{Layer: rep.Lost[0].Path, Why: rep.Lost[0].Err}
	}
	if !signed {
		im.opts.Progress.End(phaseProve)
	}
	st, err := store.Open(store.Files(point))
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrDamaged, err)
	}
	counts.Images, counts.References, counts.Layers = len(st.Images), len(st.References), len(st.Layers)
	counts.Artifacts, counts.UnreadableArtifacts = st.CountArtifacts(), st.UnreadableArtifacts()
	return im.checkMounted(ctx, point, func(ctx context.Context, dir, scratch string) error {
		return build.Check(ctx, st.References, len(st.Layers), dir, scratch, im.opts.Progress)
	})
}
