package carry

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/bundle/split"
	"github.com/nodeseal/nodeseal/internal/madeby"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/safefile"
)

// The names on a stick.
const (
	Program          = "nodeseal"
	ProgramSignature = Program + signature.Suffix
	Script           = "install.sh" // puts Program on a node
	SumsFile         = "SHA256SUMS"
	PageFile         = "README.html"
	TextFile         = "README.txt" // the same for a console
)

const (
	phase = "carry"

	// fatMagic is statfs' type of FAT, whose files are below 4 GiB.
	fatMagic = 0x4d44
	// fatPart is how long a part is there, in bytes: a whole number of clusters.
	fatPart = 4<<30 - 64<<20
)

var (
	// ErrMedium reports a stick that does not give back what was written.
	ErrMedium = errors.New("the stick gives back other bytes than were written: it is broken, or smaller than it says")
	// ErrSpace reports a stick that is too small.
	ErrSpace = errors.New("not enough room on the stick")
	// ErrParts reports a size of parts that the stick or a bundle cannot have.
	ErrParts = errors.New("size of parts")
	// ErrName reports a bundle whose name cannot be on a stick.
	ErrName = errors.New("a stick cannot have a bundle of this name")
	// ErrForeign reports another bundle in the directory.
	ErrForeign = errors.New("there is another bundle here")
	// ErrUnsigned reports a bundle without a signature, for nodes that ask for one.
	ErrUnsigned = errors.New("the bundle is not signed")
)

// File is a file that comes along, as generated configuration.
type File struct {
	Name    string // slash-separated, below config/
	Content []byte
}

// Options say what Fill puts on a stick.
type Options struct {
	// Made says when and with what, for the pages. What they are made from is added.
	Made madeby.Mark
	// Bundle is the path of the bundle, whole or in parts.
	Bundle string
	// Program is the path of the program, for the nodes' architecture.
	Program string
	// SignKey signs the program. Without it the signature beside the program is taken,
	// if there is one.
	SignKey crypto.Signer
	// Keys are those that the nodes have: one must have signed the bundle and the
	// program. None stands for the public key of SignKey, or if that is nil too, for
	// nodes that have no key.
	Keys signature.Keys
	// KeysFile is where Keys are from, for errors; "" is no file.
	KeysFile string
	// Insecure takes the bundle without a look at its signature.
	Insecure bool
	Config   []File
	// PartSize is the size of parts in bytes: 0 takes parts of nearly 4 GiB where
	// the file system is FAT and the bundle is larger, else one file.
	PartSize int64
	Progress progress.Func
}

// Result says what is on the stick.
type Result struct {
	Dir    string   `json:"dir"`
	Bundle string   `json:"bundle"`
	Size   int64    `json:"size"`
	Parts  int      `json:"parts,omitempty"`
	Images int      `json:"images"`
	Files  []string `json:"files"`
	Signed bool     `json:"signed"`
	// ProgramSigned says that the program has a signature, ProgramSHA256 is its sum.
	ProgramSigned bool   `json:"programSigned"`
	ProgramSHA256 string `json:"programSHA256"`
	// Keys are the fingerprints of the keys that the nodes have, as far as is known.
	Keys []string `json:"keys,omitempty"`
	// Base is what a node must hold already, "" where the bundle has everything or
	// its base lies beside it.
	Base string `json:"base,omitempty"`
}

// filler fills one stick.
type filler struct {
	dir      string
	root     *safefile.Root // of dir
	progress progress.Func
	sums     map[string]string // by name
}

// Fill puts the bundle and what belongs to it into dir, which must exist. Every
// file is read back from the device before it gets its name, and SHA256SUMS comes
// last: where it is there, all is whole. It may be called again after it was
// interrupted or killed, and goes on then; what is the same is kept. Nothing outside
// of dir is written: a link, a pipe or a file with a second name in the place of one
// that is being written ends it.
//
// Errors wrap ErrMedium, ErrSpace, ErrName, ErrForeign, ErrUnsigned, signature.ErrMismatch, safefile.ErrNotRegular or
// safefile.ErrLinked, or are those of opening a bundle.
func Fill(ctx context.Context, dir string, opts Options) (res *Result, err error) {
	err = planned(ctx, dir, opts, func(f *filler, j *job) error {
		res = j.res
		if err := f.write(ctx, j.whole, j.items, j.res.Parts > 0, j.res.Bundle, j.data, j.res.Size); err != nil {
			return err
		}
		res.Files = sortedNames(f.sums)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return res, nil
}

// job is what one stick gets.
type job struct {
	res          *Result
	whole, items []item
	data         io.ReaderAt
}

// planned finds out what belongs on the stick and whether it fits, and then does it.
func planned(ctx context.Context, dir string, opts Options, do func(*filler, *job) error) error {
	_, base, err := split.Find(opts.Bundle)
	if err != nil {
		return err
	}
	if opts.Keys == nil && opts.SignKey != nil {
		opts.Keys = signature.Keys{opts.SignKey.Public()}
	}
	src, err := archive.OpenFile(ctx, opts.Bundle, archive.WithTrust(func(raw []byte) error {
		_, err := bundleSignature(base, raw, opts)
		return err
	}))
	if err != nil {
		return err
	}
	defer src.Close() //nolint:errcheck // read only
	data, size, err := archive.OpenBytes(opts.Bundle)
	if err != nil {
		return err
	}
	defer data.Close()
	root, err := safefile.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("filling the stick: %w", err)
	}
	defer root.Close()
	f := &filler{dir: dir, root: root, progress: opts.Progress, sums: map[string]string{}}
	name := filepath.Base(base)
	if !strings.HasSuffix(name, bundleSuffix) {
		return fmt.Errorf("%s: the name of a bundle ends in %s, by which a node finds it", name, bundleSuffix)
	}
	if strings.ContainsFunc(name, unicode.IsControl) {
		return fmt.Errorf("%w: %q: it has a line break or a control character, and SHA256SUMS has a name on a line: rename the bundle", ErrName, name)
	}
	f.lookAt(labels)
	hasBase, err := f.checkForeign(ctx, name, src.Inventory().Base)
	if err != nil {
		return err
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("looking at %s: %w", dir, os.NewSyscallError("statfs", err))
	}
	partSize, err := partSize(opts.PartSize, size, st.Type == fatMagic)
	if err != nil {
		return err
	}
	res := &Result{Dir: dir, Bundle: name, Size: size, Images: len(src.Inventory().Images)}
	if b := src.Inventory().Base; b != nil && !hasBase {
		res.Base = b.Name()
	}
	items, closeAll, err := f.items(opts, base, src, res)
	if err != nil {
		return err
	}
	defer closeAll()
	whole := bundleItems(name, data, size, partSize)
	if partSize > 0 {
		res.Parts = len(whole)
	}
	if err := f.preflight(append(slices.Clone(whole), items...)); err != nil {
		return err
	}
	return do(f, &job{res: res, whole: whole, items: items, data: data})
}

// write writes all, SHA256SUMS last.
func (f *filler) write(ctx context.Context, whole, items []item, inParts bool, name string, data io.ReaderAt, size int64) error {
	total := int64(0)
	for _, it := range append(slices.Clone(whole), items...) {
		total += it.size
	}
	if inParts {
		total += size // which is read once more for the sum of the whole
	}
	f.progress.Begin(phase, total, progress.Bytes)
	defer f.progress.End(phase)
	if err := f.invalidate(); err != nil {
		return err
	}
	for _, it := range slices.Concat(items, whole) {
		sum, err := f.put(ctx, it)
		if err != nil {
			return err
		}
		f.sums[it.name] = sum
	}
	if inParts {
		read := io.TeeReader(io.NewSectionReader(data, 0, size), counter(func(n int) { f.progress.Add(phase, int64(n)) }))
		list, err := partsList(name, whole, f.sums, read, size)
		if err != nil {
			return err
		}
		it := contentItem(name+split.Suffix, 0o644, list)
		if f.sums[it.name], err = f.put(ctx, it); err != nil {
			return err
		}
	}
	if err := f.removeSurplus(name); err != nil {
		return err
	}
	var out bytes.Buffer
	for _, n := range sortedNames(f.sums) {
		fmt.Fprintf(&out, "%s  %s\n", f.sums[n], n)
	}
	_, err := f.put(ctx, contentItem(SumsFile, 0o644, out.Bytes()))
	return err
}

// bundleItems are the bundle's files on the stick.
func bundleItems(name string, data io.ReaderAt, size, partSize int64) []item {
	if partSize == 0 {
		return []item{{name: name, perm: 0o644, size: size, from: data}}
	}
	var parts []item
	for off := int64(0); off < size; off += partSize {
		n := min(partSize, size-off)
		parts = append(parts, item{
			name: split.PartName(name, len(parts)), perm: 0o644, size: n, from: io.NewSectionReader(data, off, n),
		})
	}
	return parts
}

// counter is told how many bytes were written.
type counter func(n int)

func (c counter) Write(p []byte) (int, error) {
	c(len(p))
	return len(p), nil
}

// partsList is the list that makes parts a bundle.
func partsList(name string, parts []item, sums map[string]string, whole io.Reader, size int64) ([]byte, error) {
	sum, err := digest.FromReader(whole)
	if err != nil {
		return nil, fmt.Errorf("reading the bundle: %w", err)
	}
	list := split.List{Format: split.FormatV1, Name: name, Size: size, SHA256: sum}
	for _, it := range parts {
		list.Parts = append(list.Parts, split.Part{
			Name: it.name, Size: it.size, SHA256: digest.NewDigestFromEncoded(digest.SHA256, sums[it.name]),
		})
	}
	out, err := json.MarshalIndent(list, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encoding the list of parts: %w", err)
	}
	return append(out, '\n'), nil
}

// partSize decides on parts: 0 is one file.
func partSize(asked, size int64, fat bool) (int64, error) {
	switch {
	case asked == 0 && fat && size > fatPart:
		asked = fatPart
	case asked > fatPart && fat:
		return 0, fmt.Errorf("%w: parts of %d bytes: a file on FAT is shorter than 4 GiB, so at most %d", ErrParts, asked, int64(fatPart))
	}
	if asked > 0 && (size+asked-1)/asked > split.MaxParts {
		return 0, fmt.Errorf("%w: parts of %d bytes: %d bytes would need more than %d of them", ErrParts, asked, size, split.MaxParts)
	}
	return asked, nil
}

func sortedNames(sums map[string]string) []string {
	names := make([]string, 0, len(sums))
	for n := range sums {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
