package layout

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"
)

var (
	// ErrDigest is wrapped when bytes do not have the digest that names them.
	ErrDigest = errors.New("digest does not match")
	// ErrSize is wrapped when there are more or fewer bytes than expected.
	ErrSize = errors.New("size does not match")
)

// Verifier reads a blob and holds it to its digest and size. Its io.EOF means
// that both were right; it never returns more than size bytes, and wrong bytes
// end in an error that wraps ErrDigest or ErrSize. It is not safe for
// concurrent use.
type Verifier struct {
	r    io.Reader
	hash hash.Hash
	want digest.Digest
	size int64
	read int64
	err  error
}

// NewVerifier returns a Verifier over r. A size below zero is not held to, and then
// r is read to its end. If CheckDigest refuses the digest, every Read returns that error.
func NewVerifier(r io.Reader, d digest.Digest, size int64) *Verifier {
	return &Verifier{r: r, hash: sha256.New(), want: d, size: size, err: CheckDigest(d)}
}

// Read implements io.Reader.
func (v *Verifier) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	if v.size >= 0 && int64(len(p))-1 > v.size-v.read {
		p = p[:v.size-v.read+1] // one more, to see that nothing follows
	}
	n, err := v.r.Read(p)
	if v.size >= 0 && int64(n) > v.size-v.read {
		n, err = int(v.size-v.read), fmt.Errorf("blob %s: %w: more than %d bytes", v.want, ErrSize, v.size)
	}
	v.read += int64(n)
	v.hash.Write(p[:n])
	if errors.Is(err, io.EOF) {
		err = v.finish()
	}
	v.err = err
	return n, err
}

func (v *Verifier) finish() error {
	if v.size >= 0 && v.read != v.size {
		return fmt.Errorf("blob %s: %w: %d bytes, want %d: %w", v.want, ErrSize, v.read, v.size, io.ErrUnexpectedEOF)
	}
	if got := hex.EncodeToString(v.hash.Sum(nil)); got != v.want.Encoded() {
		return fmt.Errorf("blob %s: %w: it is sha256:%s", v.want, ErrDigest, got)
	}
	return io.EOF
}
