package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/layerrules"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/layout"
)

// VerifyOptions are the options of Verify. The zero value is one job.
type VerifyOptions struct {
	// Jobs is how many frames are decoded at the same time.
	Jobs int
	// Trust is the check of WithTrust; it may be nil. Its error ends Verify before the blobs are read.
	Trust func(rawInventory []byte) error
	// Read is called with the number of bytes of the file that were checked
	// since its last call; it may be nil.
	Read func(n int64)
}

// Report is what Verify found.
type Report struct {
	// Inventory is what the bundle says that it holds; nil where that could not be read.
	Inventory *bundle.Inventory
	// RawInventory is inventory.json byte for byte.
	RawInventory []byte
	// Blobs and Bytes are how many blobs of which length in the tar were found whole.
	Blobs int
	Bytes int64
	// Damage is what was found damaged, in the order of the file.
	Damage []*bundle.DamageError
	// Refused are the layers that are whole, but that no node would take.
	Refused []*RefusedLayer
	// Images are the references of the images that the damage hurts, sorted.
	// Damage outside of the images' blobs hurts none of them.
	Images []string
}

// Same is a check for WithTrust that holds a bundle to the inventory of the report, for a
// file that is opened again after it was verified.
func (r *Report) Same(rawInventory []byte) error {
	if !bytes.Equal(rawInventory, r.RawInventory) {
		return fmt.Errorf("%w: its inventory changed since it was verified", bundle.ErrDamaged)
	}
	return nil
}

// RefusedLayer is a layer with a member that breaks the rules for layers.
type RefusedLayer struct {
	// Blob is the layer's digest in the bundle.
	Blob digest.Digest
	// Err names the member and says why.
	Err *layerrules.Error
	// Images are the references of the images that have the layer, sorted.
	Images []string
}

// Verify reads the whole bundle in the first size bytes of r, rehashes every
// blob and compares everything that can be computed: frames, seek table,
// checksum, tar headers, file tables, the chain from each manifest to its diff
// IDs, and the index. It goes on after damage. The error is of r, of ctx, of opts.Trust, or
// wraps bundle.ErrInventory or bundle.ErrDamaged where nothing of the bundle can be read.
func Verify(ctx context.Context, r io.ReaderAt, size int64, opts VerifyOptions) (*Report, error) {
	b, err := NewReader(ctx, r, size, WithTrust(opts.Trust))
	var broken error
	if errors.Is(err, bundle.ErrDamaged) {
		broken = err
		b, err = salvage(ctx, r, size, opts)
	}
	if err != nil {
		return nil, errors.Join(broken, err)
	}
	v := &verifier{
		b: b, report: &Report{Inventory: b.inventory, RawInventory: b.raw},
		hurt: make(map[digest.Digest]bool), broken: make(map[*bundle.Image]bool),
	}
	var place *bundle.DamageError
	switch {
	case errors.As(broken, &place):
		v.add(place)
	case broken != nil:
		v.add(&bundle.DamageError{Member: "the bundle", Err: broken})
	}
	if err := v.frames(ctx, opts, broken == nil); err != nil {
		return nil, err
	}
	if err := v.chains(ctx); err != nil {
		return nil, err
	}
	return v.finish(), nil
}

// salvage opens a bundle whose seek table or length is wrong by the frames that
// can be found from its start.
func salvage(ctx context.Context, r io.ReaderAt, size int64, opts VerifyOptions) (*Reader, error) {
	var frames []seekable.Frame
	for off := int64(0); off < size; {
		f, err := seekable.Scan(r, off, size)
		if errors.Is(err, bundle.ErrDamaged) {
			break
		}
		if err != nil {
			return nil, err
		}
		frames = append(frames, f)
		off += f.Compressed
		if len(frames) > seekable.MaxFrames {
			return nil, fmt.Errorf("%w: more than %d frames", bundle.ErrDamaged, seekable.MaxFrames)
		}
	}
	if len(frames) == 0 {
		return nil, fmt.Errorf("%w: not one frame can be read: is it a bundle?", bundle.ErrDamaged)
	}
	b, err := newReader(r, size, frames)
	if err != nil {
		return nil, err
	}
	b.trust = opts.Trust
	return b, b.readHead(ctx)
}

// verifier collects what one run of Verify finds.
type verifier struct {
	b      *Reader
	report *Report
	hurt   map[digest.Digest]bool // blobs that are damaged
	broken map[*bundle.Image]bool // images that are not what the inventory says
}

func (v *verifier) add(d *bundle.DamageError) {
	v.report.Damage = append(v.report.Damage, d)
	if d.Blob != "" {
		v.hurt[d.Blob] = true
	}
}

// checked is one frame, read, measured and decoded.
type checked struct {
	compressed, content []byte
	err                 error // of the frame's bytes
	readErr             error // of the disk
}

// frames reads the file once from its start: it hashes what is compressed,
// decodes frames in parallel and follows the members through their content.
func (v *verifier) frames(ctx context.Context, opts VerifyOptions, table bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// One frame waits for the queue, and one is looked at.
	queue := make(chan chan checked, max(1, min(opts.Jobs, framesAtOnce(v.b.frames)-2)))
	go func() {
		defer close(queue)
		for i := range v.b.frames {
			result := make(chan checked, 1)
			select {
			case queue <- result:
			case <-ctx.Done():
				return
			}
			go func() { result <- v.checkFrame(i) }()
		}
	}()
	members := newMemberChecker(v.b, v)
	sum := sha256.New()
	i := 0
	for result := range queue {
		c := <-result
		if c.readErr != nil {
			return c.readErr
		}
		f := v.b.frames[i]
		if i == len(v.b.frames)-1 && table {
			v.checkEnd(c.compressed, sum.Sum(nil))
		} else {
			sum.Write(c.compressed)
		}
		members.frame(ctx, f, c)
		if opts.Read != nil {
			opts.Read(f.Compressed)
		}
		i++
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	members.end(ctx)
	return nil
}

// verifyMemory is how much of frames Verify holds at a time, compressed and decoded, in bytes.
const verifyMemory = 128 << 20

// framesAtOnce is how many of the frames verifyMemory has room for.
func framesAtOnce(frames []span) int {
	longest := int64(1)
	for _, f := range frames {
		longest = max(longest, f.Compressed+f.Content)
	}
	return int(verifyMemory / longest)
}

func (v *verifier) checkFrame(i int) checked {
	f := v.b.frames[i]
	c := checked{compressed: make([]byte, f.Compressed)}
	if err := seekable.ReadAt(v.b.r, c.compressed, f.file); err != nil {
		if !errors.Is(err, bundle.ErrDamaged) {
			c.readErr = err
		}
		c.err = err
		return c
	}
	is, err := seekable.Scan(bytes.NewReader(c.compressed), 0, f.Compressed)
	switch {
	case err != nil:
		c.err = fmt.Errorf("at byte %d: %w", f.file, err)
	case is != f.Frame:
		c.err = fmt.Errorf("%w: frame at byte %d: %d bytes for %d, the seek table says %d for %d",
			bundle.ErrDamaged, f.file, is.Compressed, is.Content, f.Compressed, f.Content)
	case f.Content > 0:
		c.content, c.err = v.b.decodeContent(f, c.compressed, nil)
	}
	return c
}

// checkEnd compares the last frame with the checksum of all before it.
func (v *verifier) checkEnd(frame, sum []byte) {
	if !bytes.Equal(frame, seekable.AppendChecksum(nil, [32]byte(sum))) {
		v.add(&bundle.DamageError{Member: "checksum", Err: fmt.Errorf("%w: the bytes of the file are not those that were written", bundle.ErrDamaged)})
	}
}

// chains proves every image whose manifests are whole.
func (v *verifier) chains(ctx context.Context) error {
	for i := range v.b.inventory.Images {
		if err := v.chain(ctx, &v.b.inventory.Images[i]); err != nil {
			return err
		}
	}
	return nil
}

// errReported stands for a blob whose damage was reported.
var errReported = errors.New("reported")

func (v *verifier) chain(ctx context.Context, img *bundle.Image) error {
	_, err := img.Prove(func(d digest.Digest) ([]byte, error) {
		if v.hurt[d] {
			return nil, errReported
		}
		return v.b.ReadBlob(ctx, d)
	})
	var broken *bundle.ChainError
	switch {
	case errors.Is(err, errReported):
		return nil
	case errors.As(err, &broken):
		d := &bundle.DamageError{Member: memberInventory, Blob: broken.Blob, Err: &bundle.ChainError{Link: broken.Link, Err: broken.Err}}
		if d.Blob != "" {
			d.Member = layout.BlobPath(d.Blob)
		}
		// Other images may have the same blob, and be right about it.
		v.report.Damage = append(v.report.Damage, d)
		v.broken[img] = true
	case err != nil:
		return err
	}
	return v.attachments(ctx, img)
}

// attachments holds what is attached to an image to the inventory.
func (v *verifier) attachments(ctx context.Context, img *bundle.Image) error {
	for i := range img.Attachments {
		a := &img.Attachments[i]
		if v.hurt[a.Digest] {
			continue // reported
		}
		data, err := v.b.ReadBlob(ctx, a.Digest)
		if err != nil {
			return err
		}
		if err := img.CheckAttachment(a, data); err != nil {
			v.add(&bundle.DamageError{Member: layout.BlobPath(a.Digest), Blob: a.Digest, Err: err})
		}
	}
	return nil
}

// finish completes the report.
func (v *verifier) finish() *Report {
	inv, rep := v.b.inventory, v.report
	tables := make(map[digest.Digest]digest.Digest)
	for _, b := range inv.Blobs {
		if b.Table != "" {
			tables[b.Digest] = b.Table
		}
		if !v.hurt[b.Digest] {
			rep.Blobs++
			rep.Bytes += b.Size
		}
	}
	for i := range inv.Images {
		img := &inv.Images[i]
		if v.broken[img] || slices.ContainsFunc(inv.ImageBlobs(img), func(d digest.Digest) bool { return v.hurt[d] || v.hurt[tables[d]] }) {
			rep.Images = append(rep.Images, img.Ref)
		}
	}
	for _, r := range rep.Refused {
		for i := range inv.Images {
			if slices.ContainsFunc(inv.Images[i].Layers, func(l bundle.Layer) bool { return inv.LayerBlob(l) == r.Blob }) {
				r.Images = append(r.Images, inv.Images[i].Ref)
			}
		}
		slices.Sort(r.Images)
		r.Images = slices.Compact(r.Images)
	}
	slices.Sort(rep.Images)
	rep.Images = slices.Compact(rep.Images)
	return rep
}
