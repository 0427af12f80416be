package install

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/internal/atomicfile"
	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/image"
)

// makeDir makes a single store in a directory, unless it is there, and seals it: also
// one that an earlier run made and did not come to seal.
func makeDir(ctx context.Context, s *Source, path string, o Options) (*Result, error) {
	res := &Result{Path: path}
	var err error
	if res.Already, err = dir.Present(ctx, s.src, path); err != nil {
		return nil, s.failed(err)
	}
	if res.Already {
		// An earlier run may have been killed behind the rename.
		_, err = dir.Clean(path)
	} else {
		err = importDir(ctx, s, path, o, res)
	}
	if err != nil {
		return nil, err
	}
	if !o.NoSeal {
		var rep seal.Report
		err := o.Progress.During("seal", func() (err error) {
			rep, err = seal.Seal(ctx, res.Path, seal.Options{NoMount: o.NoMount, Label: dir.Label()})
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("the store is whole, but not sealed: %w", err)
		}
		res.Seal = &rep
	}
	return res, nil
}

func importDir(ctx context.Context, s *Source, path string, o Options, res *Result) error {
	w, err := s.complete(ctx, s.opts.Stores, false, filepath.Dir(filepath.Clean(path)))
	if err != nil {
		return err
	}
	defer w.Close()
	o.Beside = w.Beside()
	made, err := dir.Import(ctx, w.Source, path, o.singleOptions(w.Stores()))
	if err != nil {
		return s.failed(w.Blame(ctx, err))
	}
	res.Path, res.Counts = made.Path, made.Counts
	res.addBase(w)
	return nil
}

// singleOptions are those of the importer of a single store: kubelet does not look at
// its file system.
func (o *Options) singleOptions(stores []string) store.ImportOptions {
	opts := o.importOptions(stores)
	opts.MaxUsage = 0
	return opts
}

// makeImage makes the image of the store in the directory path, mounts and seals it. If the
// image is there it is only mounted and sealed: an earlier run may not have come to
// that, and a restart takes the mount away.
func makeImage(ctx context.Context, s *Source, path string, o Options) (*Result, error) {
	file, err := form.FileFor(path)
	if err != nil {
		return nil, err
	}
	if _, ok := form.FileOf(path); ok {
		return takeImage(ctx, s, path, file, o)
	}
	if err := image.CheckPoint(path); err != nil {
		return nil, err
	}
	res, err := importImage(ctx, s, file, o)
	if err != nil {
		return nil, err
	}
	res.Path, res.Seal, err = placeImage(path, o)
	return res, err
}

// takeImage mounts and seals the image that is there, if it is the source's.
func takeImage(ctx context.Context, s *Source, path, file string, o Options) (*Result, error) {
	// What an interrupted run has left is of no use any more.
	if _, err := image.Clean(file); err != nil {
		return nil, err
	}
	point, rep, err := placeImage(path, o)
	if err != nil {
		return nil, err
	}
	res := &Result{Path: point, File: file, Seal: rep}
	if res.Already, err = dir.Present(ctx, s.src, point); err != nil {
		return nil, s.failed(err)
	}
	if !res.Already {
		return nil, s.failed(fmt.Errorf("%w: %s", store.ErrExists, file))
	}
	return res, nil
}

func placeImage(path string, o Options) (string, *seal.Report, error) {
	point, rep, err := form.Place(path, o.NoSeal, o.NoMount)
	if err != nil {
		return point, nil, fmt.Errorf("the image is whole, but not in its place: %w", err)
	}
	return point, rep, nil
}

// importImage makes an image under the name file.
func importImage(ctx context.Context, s *Source, file string, o Options) (*Result, error) {
	w, err := s.complete(ctx, s.opts.Stores, true, filepath.Dir(filepath.Clean(file)))
	if err != nil {
		return nil, err
	}
	defer w.Close()
	o.Beside = w.Beside()
	made, err := image.Import(ctx, w.Source, file, o.singleOptions(nil))
	if err != nil {
		return nil, s.failed(w.Blame(ctx, err))
	}
	res := &Result{Path: made.Path, File: made.Path, Counts: made.Counts, Image: made.Facts}
	res.addBase(w)
	return res, nil
}

// makeFile makes an image that is not mounted here, and signs its digest.
func makeFile(ctx context.Context, s *Source, file string, o Options) (*Result, error) {
	res, err := importImage(ctx, s, file, o)
	if err != nil || o.Sign == nil {
		return res, err
	}
	sum, err := safefile.ReadFile(res.Path+image.DigestSuffix, image.MaxDigest)
	if err != nil {
		return nil, fmt.Errorf("signing the image: %w", err)
	}
	sig, err := signature.Sign(sum, o.Sign)
	if err != nil {
		return nil, err
	}
	if err := atomicfile.WriteBytes(res.Path+signature.Suffix, 0o644, sig); err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	res.Signature = res.Path + signature.Suffix
	return res, nil
}
