package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/pull"
)

// maxReferrers bounds what is taken of one image's referrers.
const maxReferrers = 128

// maxAttachment bounds the blobs of one attachment together, in bytes; those of signatures, of
// which all are in memory for the policy, have no more than bundle.MaxSmallBlob.
const maxAttachment = 64 << 20

// ErrAttachments is wrapped where it could not be found out what is attached to an
// image, or be had.
var ErrAttachments = errors.New("attachments")

// AttachmentSource is where attachments are found; *pull.Client is one. Its
// methods are called at the same time. Their contracts are pull.Client's. What they
// name is then read from the Source.
type AttachmentSource interface {
	Attached(ctx context.Context, ref, tag string) (pull.Manifest, error)
	Referrers(ctx context.Context, ref string) ([]v1.Descriptor, error)
	Lookaside(ctx context.Context, ref string) ([][]byte, error)
}

// Attached is what a run found attached to the images.
type Attached struct {
	// Count is how many different attachments there are, Bytes the size of them.
	Count int
	Bytes int64
	// Unsigned are the references of images that nothing signs, sorted.
	Unsigned []string
	// Problems are attachments that are not carried, by image. They are no failures
	// of the images.
	Problems []*ImageError
}

// attachAll finds what is attached to the images and holds these to the policy. It
// returns the images that are left.
func (r *run) attachAll(ctx context.Context, images []bundle.Image) ([]bundle.Image, error) {
	if r.o.Attachments == nil {
		return images, nil
	}
	found := make([]attachedImage, len(images))
	err := r.each(ctx, PhaseAttach, len(images), func(i int) string { return images[i].Ref }, func(ctx context.Context, i int) (err error) {
		found[i], err = r.attach(ctx, &images[i])
		return err
	}, func(i int, err error) error {
		if r.o.Policy != nil || !errors.Is(err, ErrAttachments) || r.isLocal(err) {
			return err
		}
		// No policy asks for signatures: the image itself is whole.
		found[i].problems = append(found[i].problems, &ImageError{Ref: images[i].Ref, Err: err})
		r.o.Progress.Warn(fmt.Sprintf("image %s is bundled without what could not be looked up: %v", images[i].Ref, err))
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]bundle.Image, 0, len(images))
	for i := range images {
		if r.failures.has(images[i].Ref) {
			continue
		}
		images[i].Attachments = found[i].attachments
		r.attached.Problems = append(r.attached.Problems, found[i].problems...)
		out = append(out, images[i])
	}
	r.countAttached(out, found)
	return out, nil
}

// countAttached sums up, and says what is not signed in one line.
func (r *run) countAttached(images []bundle.Image, found []attachedImage) {
	sizes := make(map[digest.Digest]int64)
	for _, f := range found {
		for d, n := range f.sizes {
			sizes[d] = n
		}
	}
	a := &r.attached
	seen := make(map[digest.Digest]bool)
	once := func(d digest.Digest) bool {
		if seen[d] {
			return false
		}
		seen[d] = true
		a.Bytes += sizes[d]
		return true
	}
	for i := range images {
		if !images[i].Signed() {
			a.Unsigned = append(a.Unsigned, images[i].Ref)
		}
		for _, att := range images[i].Attachments {
			if once(att.Digest) {
				a.Count++
			}
			for _, d := range att.Blobs {
				once(d)
			}
		}
	}
	slices.Sort(a.Unsigned)
	a.Unsigned = slices.Compact(a.Unsigned)
	if n := len(a.Unsigned); n > 0 {
		r.o.Progress.Warn(fmt.Sprintf("no signature was found of %s", someOf(a.Unsigned, len(images))))
	}
	if n := len(a.Problems); n > 0 {
		r.o.Progress.Warn(fmt.Sprintf("%d attachments are left out; the first: %v", n, a.Problems[0]))
	}
}

// someOf names what a warning is about, all of it only where it is one.
func someOf(refs []string, all int) string {
	switch {
	case len(refs) == 1:
		return refs[0]
	case len(refs) >= all:
		return fmt.Sprintf("any of the %d images", all)
	}
	return fmt.Sprintf("%d of %d images: %s and others", len(refs), all, refs[0])
}

// attachedImage is what was found of one image.
type attachedImage struct {
	attachments []bundle.Attachment
	sizes       map[digest.Digest]int64
	problems    []*ImageError
}

// attach finds what is attached to an image, has it in the work directory, and
// holds the image to the policy. What was found before an error is returned with it.
func (r *run) attach(ctx context.Context, img *bundle.Image) (attachedImage, error) {
	f := &finder{run: r, img: img}
	f.sizes = make(map[digest.Digest]int64)
	name, _ := imagelist.Split(img.Ref)
	f.repo = imagelist.Repository(name)
	// What fails for a while does not hold up the rest: all of it is tried before the
	// image is put off.
	var failed error
	for _, subject := range img.Subjects() {
		for _, find := range []func(context.Context, digest.Digest) error{f.sigstore, f.referrers, f.release, f.lookaside} {
			err := find(ctx, subject)
			if ctx.Err() != nil {
				return attachedImage{}, context.Cause(ctx)
			}
			if r.isLocal(err) {
				return attachedImage{}, fmt.Errorf("%w: %w", ErrAttachments, err)
			}
			if failed == nil || err != nil && temporary(err) && !temporary(failed) {
				failed = err // one that may pass is what decides about a second try
			}
		}
	}
	slices.SortFunc(f.attachments, func(a, b bundle.Attachment) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Tag+a.Key, b.Tag+b.Key), strings.Compare(a.Digest.String(), b.Digest.String()))
	})
	if failed != nil {
		return f.attachedImage, fmt.Errorf("%w: %w", ErrAttachments, failed)
	}
	if r.o.Policy == nil {
		return f.attachedImage, nil
	}
	return f.attachedImage, r.checkPolicy(ctx, img, &f.signatures)
}

// finder looks for what is attached to one image.
type finder struct {
	attachedImage
	run  *run
	img  *bundle.Image
	repo string
	// signatures are those of the manifest itself.
	signatures signatures
}

func (f *finder) problem(err error) {
	f.problems = append(f.problems, &ImageError{Ref: f.img.Ref, Err: err})
}

// notThere reports that a registry does not give something: it has not got it, or
// does not let anybody know.
func notThere(err error) bool {
	return isAny(err, pull.ErrNotFound, pull.ErrUnauthorized, pull.ErrDenied)
}

// sigstore finds the manifest with sigstore signatures.
func (f *finder) sigstore(ctx context.Context, subject digest.Digest) error {
	tag := bundle.SignatureTag(subject)
	m, err := f.run.o.Attachments.Attached(ctx, f.repo+"@"+subject.String(), tag)
	switch {
	case errors.Is(err, pull.ErrNotFound):
		return nil
	case notThere(err), isAny(err, pull.ErrMediaType):
		f.problem(err)
		return nil
	case err != nil:
		return err
	}
	return f.add(ctx, subject, bundle.Attachment{Kind: bundle.AttachmentSigstore, Tag: tag}, m)
}

// referrers finds what has the image as its subject.
func (f *finder) referrers(ctx context.Context, subject digest.Digest) error {
	found, err := f.run.o.Attachments.Referrers(ctx, f.repo+"@"+subject.String())
	switch {
	case notThere(err), isAny(err, pull.ErrMediaType):
		f.problem(err)
		return nil
	case err != nil:
		return err
	case len(found) > maxReferrers:
		f.problem(fmt.Errorf("%d referrers, of which the first %d are carried", len(found), maxReferrers))
		found = found[:maxReferrers]
	}
	var failed error
	for _, desc := range found {
		if bundle.CheckDigest(desc.Digest) != nil || f.has(desc.Digest) {
			continue
		}
		m, err := f.run.src.Manifest(ctx, f.repo+"@"+desc.Digest.String())
		if notThere(err) || isAny(err, pull.ErrMediaType, pull.ErrSize) {
			f.problem(err)
			continue
		}
		if err != nil {
			return err
		}
		err = f.add(ctx, subject, bundle.Attachment{Kind: bundle.AttachmentReferrer}, m)
		if err != nil && !temporary(err) {
			return err
		}
		failed = firstError(failed, err)
	}
	return failed
}

func (f *finder) has(d digest.Digest) bool {
	return slices.ContainsFunc(f.attachments, func(a bundle.Attachment) bool { return a.Digest == d })
}

// add has a manifest and what it names in the work directory. What cannot be
// carried is a problem.
func (f *finder) add(ctx context.Context, subject digest.Digest, a bundle.Attachment, m pull.Manifest) error {
	is, blobs, of, err := bundle.DescribeAttachment(m.Bytes, m.MediaType)
	if err == nil && a.Kind == bundle.AttachmentReferrer && of != subject {
		err = fmt.Errorf("it has the subject %q", of)
	}
	if err != nil {
		f.problem(fmt.Errorf("attachment %s: %w", m.Digest, err))
		return nil
	}
	a.Digest, a.MediaType, a.Blobs = is.Digest, is.MediaType, is.Blobs
	if err := carried(a, blobs); err != nil {
		f.problem(err)
		return nil
	}
	contents, sizes := make(map[digest.Digest][]byte), make(map[digest.Digest]int64)
	var failed error
	for _, b := range blobs {
		data, err := f.run.fetchSmall(ctx, f.repo+"@"+subject.String(), b.Digest, b.Size)
		if notThere(err) {
			f.problem(fmt.Errorf("attachment %s: %w", a.Digest, err))
			return nil
		}
		if err != nil && !temporary(err) {
			return err
		}
		failed = firstError(failed, err)
		sizes[b.Digest] = int64(len(data))
		if a.Kind == bundle.AttachmentSigstore {
			contents[b.Digest] = data
		}
	}
	if failed != nil {
		return failed
	}
	if err := f.run.work.PutSmall(a.Digest, m.Bytes); err != nil {
		return err
	}
	maps.Copy(f.sizes, sizes)
	f.sizes[a.Digest] = int64(len(m.Bytes))
	f.attachments = append(f.attachments, a)
	if a.Kind == bundle.AttachmentSigstore && subject == f.img.Digest {
		return f.signatures.addSigstore(m.Bytes, contents)
	}
	return nil
}

// carried returns why an attachment cannot be carried, by the sizes of its blobs.
func carried(a bundle.Attachment, blobs []v1.Descriptor) error {
	most := int64(maxAttachment)
	if a.Kind == bundle.AttachmentSigstore {
		most = bundle.MaxSmallBlob
	}
	left := most
	for _, b := range blobs {
		if b.Size < 0 || b.Size > bundle.MaxSmallBlob {
			return fmt.Errorf("attachment %s: blob %s has %d bytes, more than the %d that are carried", a.Digest, b.Digest, b.Size, bundle.MaxSmallBlob)
		}
		if left -= b.Size; left < 0 {
			return fmt.Errorf("attachment %s: its blobs have together more than the %d bytes that are carried", a.Digest, most)
		}
	}
	return nil
}

// lookaside finds simple signatures. Their server is mostly another one than the
// registry, and one that few can reach: that it cannot is no failure.
func (f *finder) lookaside(ctx context.Context, subject digest.Digest) error {
	sigs, err := f.run.o.Attachments.Lookaside(ctx, f.repo+"@"+subject.String())
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		f.problem(err)
		return nil
	}
	for i, sig := range sigs {
		if f.has(digest.FromBytes(sig)) {
			continue // the release's
		}
		if err := f.addSignature(subject, bundle.AttachmentSimple, bundle.SignatureKey(subject, i+1), sig); err != nil {
			return err
		}
	}
	return nil
}

// release takes those of the releases' signatures that are the image's.
func (f *finder) release(_ context.Context, subject digest.Digest) error {
	n := 0
	for _, s := range f.run.o.Signatures {
		if s.Digest != subject || f.has(digest.FromBytes(s.Data)) {
			continue
		}
		n++
		if err := f.addSignature(subject, bundle.AttachmentRelease, bundle.SignatureKey(subject, n), s.Data); err != nil {
			return err
		}
	}
	return nil
}

// addSignature adds a signature that is no manifest.
func (f *finder) addSignature(subject digest.Digest, kind, key string, data []byte) error {
	if len(data) == 0 || len(data) > bundle.MaxSmallBlob {
		f.problem(fmt.Errorf("signature %s has %d bytes", key, len(data)))
		return nil
	}
	d := digest.FromBytes(data)
	if err := f.run.work.PutSmall(d, data); err != nil {
		return err
	}
	f.sizes[d] = int64(len(data))
	f.attachments = append(f.attachments, bundle.Attachment{Kind: kind, Key: key, Digest: d})
	if subject == f.img.Digest {
		f.signatures.simple = append(f.signatures.simple, data)
	}
	return nil
}
