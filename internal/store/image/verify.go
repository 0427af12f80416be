package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/verify"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// VerifyOptions change how an image is verified.
type VerifyOptions struct {
	// Total is called once with the bytes that Read will tell of: those of the image.
	// Both may be nil.
	Total func(n int64)
	Read  func(n int64)
	// Store are for the contents of layers, which are read one by one where the
	// image is not what its digest says.
	Store verify.Options
}

// Verified is what was found in an image.
type Verified struct {
	*verify.Report
	// Digest is that of the file, Recorded the one beside it, "" where there is none.
	Digest, Recorded digest.Digest
	Size             int64
}

// Verify verifies the store image file, mounted or not. Its digest is compared with
// the one that is recorded beside it, which is no proof of the layers; the
// records in it with what its inventory, manifests and configurations make. Where
// the digest is another one, or none is recorded, every layer is verified as in a
// directory, to say what is damaged. The image is not changed, and may be in use.
func Verify(ctx context.Context, file string, opts VerifyOptions) (*Verified, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("verifying: %w", err)
	}
	out := &Verified{}
	recorded, rerr := ReadDigest(file)
	if rerr != nil && !errors.Is(rerr, fs.ErrNotExist) && !errors.Is(rerr, store.ErrDamaged) {
		return nil, rerr
	}
	if opts.Total != nil {
		opts.Total(info.Size())
	}
	out.Recorded = recorded
	if out.Digest, out.Size, err = Hash(ctx, file, opts.Read); err != nil {
		return nil, err
	}
	var damage error
	switch {
	case rerr != nil:
		damage = rerr
	case recorded != out.Digest:
		damage = fmt.Errorf("its digest is %s, recorded is %s", out.Digest, recorded)
	}
	out.Report, err = verifyMounted(ctx, file, opts.Store, damage == nil)
	if err != nil {
		return nil, err
	}
	if damage != nil {
		found := verify.Finding{Path: filepath.Base(file), Err: damage}
		out.Findings = append([]verify.Finding{found}, out.Findings...)
	}
	return out, nil
}

// verifyMounted looks into the image by a mount of its own.
func verifyMounted(ctx context.Context, file string, opts verify.Options, whole bool) (*verify.Report, error) {
	m, err := seal.OpenImage(file, "")
	if seal.Unable(err) {
		return nil, &KernelError{Err: err}
	}
	found := func(err error) (*verify.Report, error) {
		return &verify.Report{Findings: []verify.Finding{{Path: filepath.Base(file), Err: err}}}, nil
	}
	if err != nil {
		return found(err)
	}
	defer m.Close()
	opts.Records = whole
	rep, err := verify.Store(ctx, m.Dir(), opts)
	if err != nil && ctx.Err() == nil && corrupt(err) {
		return found(fmt.Errorf("its store cannot be read: %w", err))
	}
	return rep, err
}

// corrupt reports what a file system says that is damaged.
func corrupt(err error) bool {
	for _, e := range []error{fs.ErrNotExist, unix.EIO, unix.EUCLEAN, unix.EBADMSG, unix.EINVAL, unix.EOPNOTSUPP, unix.ENOTDIR, unix.ELOOP} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
