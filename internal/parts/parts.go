// Package parts makes parts of a bundle that exists, and one file of a bundle in parts.
// The bytes of the bundle stay the same, so its signature does, too.
package parts

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/bundle/split"
	"github.com/nodeseal/nodeseal/internal/atomicfile"
	"github.com/nodeseal/nodeseal/internal/dryrun"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/trust"
)

const (
	phase = "write"
	// maxSignature bounds a signature, in bytes.
	maxSignature = 64 << 10
	// fatMagic is statfs' type of FAT, whose files are at most fatMost bytes long.
	fatMagic = 0x4d44
	fatMost  = 1<<32 - 1
)

var (
	// ErrDir is wrapped if the directory cannot take the bundle: it holds one of that
	// name, in whatever form, or has too little room. Nothing was written.
	ErrDir = errors.New("no place for the bundle")
	// ErrOne is wrapped by Join's error about a bundle that is one file already.
	ErrOne = errors.New("it is one file, and not in parts")
	// ErrMany is wrapped by Split's error about a size that needs more than split.MaxParts.
	ErrMany = fmt.Errorf("more than %d parts", split.MaxParts)
)

// Options say what is written, and where.
type Options struct {
	// Bundle is the path of a bundle, whole or in parts; also a part's.
	Bundle string
	// Trust says whose signature it must have.
	Trust trust.Bundle
	// Dir is the directory for what is written; it must exist.
	Dir      string
	Progress progress.Func
}

// Result says what was written.
type Result struct {
	// Path is the bundle's in its new form, without the number of a part.
	Path   string        `json:"bundle"`
	Size   int64         `json:"size"`
	SHA256 digest.Digest `json:"sha256"`
	// Parts is their number; 0 says that the bundle is one file.
	Parts int `json:"parts"`
	// Signature is the bundle's, copied to the new place.
	Signature string `json:"signature,omitempty"`
}

// Split writes the bundle into o.Dir in parts of size bytes, with their list, as bundle
// --split does. The bundle must have a valid inventory. Its bytes are compared with its
// checksum, those of parts with their list. Nothing has its final name before all is written.
//
// Errors wrap ErrDir, ErrMany or bundle.ErrDamaged, or are those of trust.Bundle.Open.
func Split(ctx context.Context, o Options, size int64) (res *Result, err error) {
	src, err := open(ctx, o, false)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	w, n, err := src.parts(size)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	return src.finish(ctx, w, n, w.Commit)
}

// Join writes the bundle, which is in parts, into one file in o.Dir. Its bytes are held to
// the list of parts before the file gets its name.
//
// Errors wrap ErrDir, ErrOne or bundle.ErrDamaged, or are those of trust.Bundle.Open.
func Join(ctx context.Context, o Options) (res *Result, err error) {
	src, err := open(ctx, o, true)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	if err := src.joins(); err != nil {
		return nil, err
	}
	w, err := atomicfile.Create(src.out, 0o644, atomicfile.WithPartialName(), atomicfile.WithSize(src.size))
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	return src.finish(ctx, w, 0, w.Commit)
}

// Plan says what Split (Join if size is 0) would write, and writes nothing.
func Plan(ctx context.Context, o Options, size int64) (*dryrun.Plan, error) {
	src, err := open(ctx, o, size == 0)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	p := new(dryrun.Plan)
	if size == 0 {
		if err := src.joins(); err != nil {
			return nil, err
		}
		p.Add("write", src.out, src.size)
	} else {
		w, n, err := src.parts(size)
		if err != nil {
			return nil, err
		}
		for i := range n {
			p.Add("write", split.PartName(src.out, i), min(w.PartSize(), src.size-int64(i)*w.PartSize()))
		}
		p.Add("write", src.out+split.Suffix, 0)
	}
	if src.sig != nil {
		p.Add("write", src.out+signature.Suffix, int64(len(src.sig)))
	}
	return p, nil
}

// source is the bundle that is read.
type source struct {
	archive.ReadAtCloser
	path, out string // out is where it goes, without the number of a part
	size      int64
	list      *split.List // nil if it is one file
	sumAt     int64       // of the frame with the checksum of all bytes before it
	sig       []byte      // nil if there is none
	progress  progress.Func
}

// open opens a bundle and finds out whether the directory can take it.
func open(ctx context.Context, o Options, join bool) (*source, error) {
	f, err := o.Trust.Open(ctx, o.Bundle)
	if err != nil {
		return nil, err
	}
	sumAt := f.ChecksumAt()
	if err := f.Close(); err != nil {
		return nil, err
	}
	list, base, err := split.Find(o.Bundle)
	if err != nil {
		return nil, err
	}
	if join && list == nil {
		return nil, fmt.Errorf("%s: %w", o.Bundle, ErrOne)
	}
	src := &source{path: o.Bundle, out: filepath.Join(o.Dir, filepath.Base(base)), list: list, sumAt: sumAt, progress: o.Progress}
	src.sig, err = safefile.ReadFile(base+signature.Suffix, maxSignature)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("signature: %w", err)
	}
	if src.ReadAtCloser, src.size, err = archive.OpenBytes(o.Bundle); err != nil {
		return nil, err
	}
	if err := src.room(o.Dir); err != nil {
		return nil, errors.Join(err, src.Close())
	}
	return src, nil
}

// room refuses a directory that holds the bundle, because one form would hide the other,
// and one that is too small.
func (s *source) room(dir string) error {
	for _, name := range []string{s.out, s.out + split.Suffix} {
		if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: %s is there, and a directory holds a bundle once, whole or in parts", ErrDir, name)
		}
	}
	old, err := safefile.ReadFile(s.out+signature.Suffix, maxSignature)
	if !errors.Is(err, fs.ErrNotExist) && (err != nil || string(old) != string(s.sig)) {
		return fmt.Errorf("%w: %s is there, and belongs to another bundle", ErrDir, s.out+signature.Suffix)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	if free := int64(st.Bavail) * int64(st.Bsize); free < s.size {
		return fmt.Errorf("%w: %s has %d MiB free, %d MiB are needed", ErrDir, dir, free>>20, s.size>>20+1)
	}
	return nil
}

// joins refuses a directory whose files cannot be as long.
func (s *source) joins() error {
	var st unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(s.out), &st); err == nil && st.Type == fatMagic && s.size > fatMost {
		return fmt.Errorf("%w: %s is on FAT, whose files are shorter than 4 GiB", ErrDir, filepath.Dir(s.out))
	}
	return nil
}

// parts begins parts of size bytes, and says how many there will be.
func (s *source) parts(size int64) (*split.Writer, int, error) {
	w, err := split.Create(s.out, size)
	if err != nil {
		return nil, 0, err
	}
	n := (s.size + w.PartSize() - 1) / w.PartSize()
	if n > split.MaxParts {
		return nil, 0, fmt.Errorf("parts of %d bytes of a bundle of %d: %w", size, s.size, ErrMany)
	}
	return w, int(n), nil
}

// finish copies the bytes, which the checksum of the bundle must fit, and gives them their name. The
// signature is there first: a bundle without it looks as if it were not signed.
func (s *source) finish(ctx context.Context, w io.Writer, parts int, commit func() error) (*Result, error) {
	sum := sha256.New()
	s.progress.Begin(phase, s.size, progress.Bytes)
	all := make([]byte, 1<<20)
	for off, n := int64(0), int64(0); off < s.size; off += n {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		n = min(int64(len(all)), s.size-off)
		if off < s.sumAt {
			n = min(n, s.sumAt-off)
		}
		buf := all[:n]
		// A whole read may say io.EOF; a bundle that has become shorter says it, too.
		if n, err := s.ReadAt(buf, off); n < len(buf) {
			return nil, fmt.Errorf("reading bundle: %w", cmp.Or(err, io.ErrUnexpectedEOF))
		}
		if off == s.sumAt {
			checksum := seekable.AppendChecksum(nil, [sha256.Size]byte(sum.Sum(nil)))
			if s.list == nil && !bytes.HasPrefix(buf, checksum) {
				return nil, fmt.Errorf("%w: %s has other bytes than its checksum says", bundle.ErrDamaged, s.path)
			}
		}
		sum.Write(buf)
		if _, err := w.Write(buf); err != nil {
			return nil, err
		}
		s.progress.Add(phase, int64(len(buf)))
	}
	res := &Result{Path: s.out, Size: s.size, SHA256: digest.NewDigest(digest.SHA256, sum), Parts: parts}
	if s.list != nil && res.SHA256 != s.list.SHA256 {
		return nil, s.damaged(ctx, res.SHA256)
	}
	if s.sig != nil {
		res.Signature = s.out + signature.Suffix
		if err := atomicfile.WriteBytes(res.Signature, 0o644, s.sig); err != nil {
			return nil, fmt.Errorf("signature: %w", err)
		}
	}
	if err := commit(); err != nil {
		return nil, err
	}
	s.progress.End(phase)
	return res, nil
}

// damaged names the parts that are not what the list says.
func (s *source) damaged(ctx context.Context, got digest.Digest) error {
	bad, err := split.Damaged(ctx, s.path)
	if err != nil {
		return err
	}
	errs := make([]error, 0, len(bad))
	for _, e := range bad {
		errs = append(errs, e)
	}
	if len(errs) == 0 {
		errs = append(errs, fmt.Errorf("%w: the parts together have %s, their list says %s", bundle.ErrDamaged, got, s.list.SHA256))
	}
	return errors.Join(errs...)
}
