package image

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/nodeseal/nodeseal/internal/atomicfile"
	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/opencontainers/go-digest"
)

// MaxDigest bounds the file with the digest of an image, in bytes: a line of
// sha256sum with the longest name.
const MaxDigest = 4 << 10

// WriteDigest records the digest of the image path in the file beside it.
func WriteDigest(path string, d digest.Digest) error {
	line := fmt.Sprintf("%s  %s\n", d.Encoded(), filepath.Base(path))
	// A name of its own for what is written would be left by a kill.
	if err := atomicfile.WriteBytes(path+DigestSuffix, 0o644, []byte(line), atomicfile.WithPartialName()); err != nil {
		return fmt.Errorf("recording the image's digest: %w", err)
	}
	return nil
}

// ReadDigest returns the digest that is recorded of the image path, in the form of
// sha256sum. The error wraps fs.ErrNotExist where there is none, store.ErrDamaged
// where the file is something else.
func ReadDigest(path string) (digest.Digest, error) {
	data, err := safefile.ReadFile(path+DigestSuffix, MaxDigest)
	if err != nil {
		return "", fmt.Errorf("recorded digest: %w", err)
	}
	return ParseDigest(path+DigestSuffix, data)
}

// ParseDigest reads the digest that data, the content of the file name, records.
func ParseDigest(name string, data []byte) (digest.Digest, error) {
	line, rest, _ := strings.Cut(string(data), "\n")
	sum, _, ok := strings.Cut(line, "  ")
	d := digest.NewDigestFromEncoded(digest.SHA256, sum)
	if err := d.Validate(); err != nil || !ok || rest != "" {
		return "", fmt.Errorf("%w: %s is not one line of sha256sum", store.ErrDamaged, name)
	}
	return d, nil
}

// Hash returns the digest of the image path, and its length. read is called with
// the bytes as they are hashed; it may be nil.
func Hash(ctx context.Context, path string, read func(n int64)) (digest.Digest, int64, error) {
	f, err := safefile.Open(path)
	if err != nil {
		return "", 0, fmt.Errorf("hashing the image: %w", err)
	}
	defer f.Close()
	d, size, err := hashOf(ctx, f, read)
	if err != nil {
		return "", 0, fmt.Errorf("hashing the image: %w", err)
	}
	return d, size, nil
}

// hashOf returns the digest and the length of what r has.
func hashOf(ctx context.Context, r io.Reader, read func(n int64)) (digest.Digest, int64, error) {
	sum := sha256.New()
	buf := make([]byte, 1<<20)
	var size int64
	for {
		if err := ctx.Err(); err != nil {
			return "", 0, err
		}
		n, err := r.Read(buf)
		sum.Write(buf[:n])
		size += int64(n)
		if read != nil {
			read(int64(n))
		}
		switch {
		case errors.Is(err, io.EOF):
			return digest.NewDigest(digest.SHA256, sum), size, nil
		case err != nil:
			return "", 0, err
		}
	}
}
