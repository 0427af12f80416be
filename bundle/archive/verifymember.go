package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/compression"
	"github.com/nodeseal/nodeseal/bundle/filetable"
	"github.com/nodeseal/nodeseal/bundle/layerrules"
	"github.com/nodeseal/nodeseal/layout"
)

// memberChecker follows the tar from its start, member after member, and tells
// the verifier what is not as it must be.
type memberChecker struct {
	v       *verifier
	members []member
	tables  map[digest.Digest]digest.Digest // layer -> file table
	// originals are the diff IDs of layers that are held as the registry has them.
	originals map[digest.Digest]digest.Digest
	cur       *memberCheck
	off       int64
	behind    bool // damage behind the last member was told
}

func newMemberChecker(b *Reader, v *verifier) *memberChecker {
	c := &memberChecker{v: v, tables: make(map[digest.Digest]digest.Digest), originals: make(map[digest.Digest]digest.Digest)}
	c.members = append(c.members, b.head...)
	c.members = append(c.members, b.blobs...)
	for _, blob := range b.inventory.Blobs {
		if blob.Table != "" {
			c.tables[blob.Digest] = blob.Table
		}
	}
	for i := range b.inventory.Images {
		for _, l := range b.inventory.Images[i].Layers {
			if (l.Original || b.inventory.Layers == bundle.Original) && !b.inventory.Images[i].Artifact {
				c.originals[l.Digest] = l.DiffID
			}
		}
	}
	return c
}

// frame takes the content of the next frame, or notes that it is lost.
func (c *memberChecker) frame(ctx context.Context, f span, got checked) {
	content, left := got.content, f.Content
	if got.err != nil && f.Content == 0 && !c.behind {
		c.v.add(&bundle.DamageError{Member: "checksum", Err: got.err})
		c.behind = true
	}
	for left > 0 {
		if len(c.members) == 0 {
			c.trailer(content, got.err)
			return
		}
		if c.cur == nil {
			c.cur = c.begin(ctx, c.members[0])
		}
		n := min(left, c.cur.m.end()-c.off)
		if got.err != nil {
			c.cur.fail(got.err)
		} else {
			c.cur.write(content[:n], c.off)
			content = content[n:]
		}
		c.off += n
		left -= n
		if c.off == c.cur.m.end() {
			c.finish()
		}
	}
}

func (c *memberChecker) trailer(content []byte, err error) {
	if err == nil && len(bytes.Trim(content, "\x00")) > 0 {
		err = fmt.Errorf("%w: bytes behind the last member", bundle.ErrDamaged)
	}
	if err != nil && !c.behind {
		c.v.add(&bundle.DamageError{Member: "end of the tar", Err: err})
		c.behind = true
	}
}

// end takes the members that the file has no bytes of as lost.
func (c *memberChecker) end(ctx context.Context) {
	for len(c.members) > 0 {
		if c.cur == nil {
			c.cur = c.begin(ctx, c.members[0])
		}
		c.cur.fail(fmt.Errorf("%w: cut off", bundle.ErrDamaged))
		c.finish()
	}
}

func (c *memberChecker) begin(ctx context.Context, m member) *memberCheck {
	check := &memberCheck{m: m, hash: sha256.New()}
	check.head, check.err = memberHeader(m.name, m.size)
	if table, diffID := c.tables[m.blob], c.originals[m.blob]; table != "" || diffID != "" {
		check.tabulate(ctx, table, diffID)
	}
	return check
}

func (c *memberChecker) finish() {
	err := c.cur.finish()
	switch {
	case err != nil:
		c.v.add(&bundle.DamageError{Member: c.cur.m.name, Blob: c.cur.m.blob, Err: err})
	case c.cur.refused != nil:
		c.v.report.Refused = append(c.v.report.Refused, &RefusedLayer{Blob: c.cur.m.blob, Err: c.cur.refused})
	}
	c.members = c.members[1:]
	c.cur = nil
}

// memberCheck checks one member: header, content, padding.
type memberCheck struct {
	m     member
	head  []byte
	hash  hash.Hash
	err   error          // the first thing that is wrong
	layer *io.PipeWriter // to the goroutine that makes the file table again
	table chan tabulated // its result
	// refused is why a node would refuse the layer.
	refused *layerrules.Error
}

// tabulated is what tabulate found.
type tabulated struct {
	err     error
	refused *layerrules.Error
}

func (m *memberCheck) fail(err error) {
	if m.err == nil {
		m.err = err
	}
}

// tabulate starts to make the file table of a layer again; it must be want, if that is not "".
// If diffID is not "", the layer is as the registry has it, and the tar in it must have that digest.
func (m *memberCheck) tabulate(ctx context.Context, want, diffID digest.Digest) {
	r, w := io.Pipe()
	m.layer, m.table = w, make(chan tabulated, 1)
	go func() {
		var result tabulated
		if diffID == "" {
			result = tabulate(ctx, r, want)
		} else {
			result = tabulateOriginal(ctx, r, want, diffID)
		}
		r.CloseWithError(result.err)
		m.table <- result
	}()
}

// tabulate makes the file table of a plain tar; it must be want, if that is not "".
func tabulate(ctx context.Context, tar io.Reader, want digest.Digest) tabulated {
	sum := sha256.New()
	t := filetable.NewWriter(sum)
	work := layerrules.Begin(ctx)
	defer work.Done()
	var rules layerrules.Checker
	rules.Bound(work, 0)
	err := filetable.Tabulate(tar, t, &rules)
	var refused *layerrules.Error
	if errors.As(err, &refused) {
		err = nil
	}
	if err == nil {
		err = t.Close()
	}
	if got := digest.NewDigest(digest.SHA256, sum); err == nil && want != "" && got != want {
		err = fmt.Errorf("%w: its file table is not %s", bundle.ErrDamaged, want)
	}
	return tabulated{err: err, refused: refused}
}

// tabulateOriginal is tabulate of a layer as a registry has it, which it reads to its end.
func tabulateOriginal(ctx context.Context, r io.Reader, want, diffID digest.Digest) tabulated {
	plain, err := compression.NewReader(ctx, r)
	if err != nil {
		return tabulated{err: fmt.Errorf("%w: %w", bundle.ErrDamaged, err)}
	}
	defer plain.Close() //nolint:errcheck // it only gives memory back
	sum := sha256.New()
	tar := io.TeeReader(plain, sum)
	result := tabulate(ctx, tar, want)
	if got := digest.NewDigest(digest.SHA256, sum); result.err == nil && got != diffID {
		result.err = fmt.Errorf("%w: its tar is %s, the configuration says %s", bundle.ErrDamaged, got, diffID)
	}
	if result.err == nil {
		_, result.err = io.Copy(io.Discard, r) // what follows the compressed tar
	}
	return result
}

// write takes the member's bytes p, which stand at off in the tar.
func (m *memberCheck) write(p []byte, off int64) {
	if n := m.m.content() - off; n > 0 {
		head := p[:min(n, int64(len(p)))]
		at := off - m.m.off
		if !bytes.Equal(head, m.head[at:at+int64(len(head))]) {
			m.fail(fmt.Errorf("%w: its tar header is another's", bundle.ErrDamaged))
		}
		p, off = p[len(head):], off+int64(len(head))
	}
	if n := m.m.content() + m.m.size - off; n > 0 {
		content := p[:min(n, int64(len(p)))]
		m.hash.Write(content)
		if m.layer != nil && m.err == nil {
			if _, err := m.layer.Write(content); err != nil {
				m.fail(err)
			}
		}
		p = p[len(content):]
	}
	if len(bytes.Trim(p, "\x00")) > 0 {
		m.fail(fmt.Errorf("%w: bytes behind its end", bundle.ErrDamaged))
	}
}

func (m *memberCheck) finish() error {
	if m.layer != nil {
		m.layer.CloseWithError(m.err) // io.EOF where all is well
		result := <-m.table
		if result.err != nil {
			m.fail(result.err)
		}
		m.refused = result.refused
	}
	if m.err == nil {
		if got := digest.NewDigest(digest.SHA256, m.hash); got != m.m.sum {
			m.err = errors.Join(layout.ErrDigest, fmt.Errorf("it is %s", got))
		}
	}
	return m.err
}
