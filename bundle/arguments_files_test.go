package bundle_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"errors"
	"io"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/compression"
	"github.com/nodeseal/nodeseal/bundle/filetable"
	"github.com/nodeseal/nodeseal/bundle/layerrules"
	"github.com/nodeseal/nodeseal/bundle/seekable"
	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/bundle/split"
)

func fileArguments(t *testing.T, outer string) map[string]func() error {
	t.Helper()
	ctx := t.Context()
	file := bytes.NewReader(seekable.AppendChecksum(nil, [32]byte{}))
	enc, err := seekable.NewEncoder(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	inv := &bundle.Inventory{Format: bundle.FormatV1, Layers: bundle.Expanded}
	var whole bytes.Buffer
	if _, err := archive.Write(ctx, &whole, inv, nil, enc, nil); err != nil {
		t.Fatal(err)
	}
	r, err := archive.NewReader(ctx, bytes.NewReader(whole.Bytes()), int64(whole.Len()))
	if err != nil {
		t.Fatal(err)
	}
	list := func(name, part string) *split.List {
		return &split.List{Format: split.FormatV1, Name: name, Size: 6, SHA256: digest.FromString("victim"),
			Parts: []split.Part{{Name: part, Size: 6, SHA256: digest.FromString("victim")}}}
	}
	openList := func(p *split.List) func() error {
		return func() error {
			f, err := split.Open(p, filepath.Join(outer, "layout", "x"))
			if err == nil {
				f.Close()
			}
			return err
		}
	}
	return map[string]func() error{
		"archive.PadContent": eachSize(func(n int64) error { return archive.PadContent(io.Discard, n) }),
		"archive.NewReader":  eachSize(func(n int64) error { _, err := archive.NewReader(ctx, file, n); return err }),
		"archive.Verify": eachSize(func(n int64) error {
			_, err := archive.Verify(ctx, file, n, archive.VerifyOptions{Jobs: -1})
			return err
		}),
		"archive.OpenFile":                   all(func() error { _, err := archive.OpenFile(ctx, ""); return err }, func() error { _, err := archive.OpenFile(ctx, outer); return err }),
		"archive.OpenBytes":                  all(func() error { _, _, err := archive.OpenBytes(""); return err }, func() error { _, _, err := archive.OpenBytes(outer); return err }),
		"archive.File.Close":                 nil,
		"archive.OpenError.Error":            nil,
		"archive.OpenError.Unwrap":           nil,
		"archive.Reader.Inventory":           nil,
		"archive.Reader.RawInventory":        nil,
		"archive.Reader.ChecksumAt":          nil,
		"archive.Reader.Size":                nil,
		"archive.Reader.ReadBlob":            eachDigest(func(d digest.Digest) error { _, err := r.ReadBlob(ctx, d); return err }),
		"archive.Reader.OpenLayer":           eachDigest(func(d digest.Digest) error { _, err := r.OpenLayer(ctx, d); return err }),
		"archive.Reader.OpenLayerUnverified": eachDigest(func(d digest.Digest) error { _, err := r.OpenLayerUnverified(ctx, d); return err }),
		"archive.Reader.LayerAt":             eachDigest(func(d digest.Digest) error { _, err := r.LayerAt(ctx, d, archive.NewSpool("")); return err }),
		"archive.NewSpool":                   calm(func() { archive.NewSpool("") }),
		"archive.Spool.Close":                nil,
		"archive.LayerAt.ReadAt":             eachSize(func(n int64) error { _, err := new(archive.LayerAt).ReadAt(make([]byte, 1), n); return err }),
		"archive.Reader.OpenTable":           eachDigest(func(d digest.Digest) error { _, err := r.OpenTable(ctx, d); return err }),
		"archive.Report.Same":                all(func() error { return (&archive.Report{}).Same([]byte("x")) }),
		"archive.WithTrust": func() error {
			_, err := archive.NewReader(ctx, bytes.NewReader(whole.Bytes()), int64(whole.Len()), archive.WithTrust(nil))
			return err
		},
		"archive.Write": eachDigest(func(d digest.Digest) error {
			bad := *inv
			bad.Blobs = []bundle.Blob{{Digest: d, Kind: bundle.KindManifest}}
			_, err := archive.Write(ctx, io.Discard, &bad, nil, enc, nil)
			return err
		}),
		"seekable.AppendChecksum": nil,
		"seekable.AppendTable":    eachSize(func(n int64) error { _, err := seekable.AppendTable(nil, []seekable.Frame{{Content: n}}); return err }),
		"seekable.IsCompressed":   calm(func() { seekable.IsCompressed(nil) }),
		"seekable.LevelName":      calm(func() { _, _ = seekable.LevelName(-1), seekable.LevelName(math.MaxInt) }),
		"seekable.ParseLevel":     all(func() error { _, err := seekable.ParseLevel(""); return err }, func() error { _, err := seekable.ParseLevel("0"); return err }),
		"seekable.NewEncoder": all(
			func() error { _, err := seekable.NewEncoder(math.MaxInt, 1); return err },
			func() error {
				e, err := seekable.NewEncoder(math.MinInt, math.MaxInt)
				return errors.Join(err, fails(e != nil))
			},
		),
		"seekable.ReadAt":    eachSize(func(n int64) error { return seekable.ReadAt(file, make([]byte, 1), n) }),
		"seekable.ReadTable": eachSize(func(n int64) error { _, err := seekable.ReadTable(file, n); return err }),
		"seekable.Scan": all(
			func() error { _, err := seekable.Scan(file, -1, 10); return err },
			func() error { _, err := seekable.Scan(file, 10, 5); return err },
			func() error { _, err := seekable.Scan(file, 0, math.MinInt64); return err },
			func() error { _, err := seekable.Scan(file, math.MaxInt64, math.MaxInt64); return err },
		),
		"seekable.Store": all(
			func() error { _, _, err := seekable.Store(file, -1); return err },
			func() error { _, _, err := seekable.Store(file, math.MaxInt64); return err },
		),
		"seekable.Encoder.Encode":         nil,
		"seekable.Encoder.Name":           nil,
		"seekable.Encoder.NewSmallWriter": nil,
		"seekable.Encoder.NewWriter":      nil,
		"seekable.Writer.Close":           nil,
		"seekable.Writer.Write":           nil,
		"seekable.Writer.Written":         nil,
		"filetable.Tabulate": all(func() error {
			return filetable.Tabulate(strings.NewReader(strings.Repeat("x", 512)), filetable.NewWriter(io.Discard), nil)
		}),
		"filetable.NewReader":    nil,
		"filetable.NewWriter":    nil,
		"filetable.Reader.Next":  all(func() error { _, err := filetable.NewReader(strings.NewReader("x")).Next(); return err }),
		"filetable.Writer.Add":   eachSize(func(n int64) error { return filetable.NewWriter(io.Discard).Add(filetable.Entry{Size: n}) }),
		"filetable.Writer.Close": nil,
		"split.PartName":         calm(func() { split.PartName("", -1) }),
		"split.Damaged":          all(func() error { _, err := split.Damaged(ctx, filepath.Join(outer, "victim.000")); return err }),
		"split.Error.Error":      nil,
		"split.Error.Unwrap":     nil,
		"split.Find":             all(func() error { _, _, err := split.Find(filepath.Join(outer, "victim.000")); return err }),
		"split.Parse":            all(func() error { _, err := split.Parse(strings.NewReader("{}")); return err }),
		"split.Open": all(
			openList(&split.List{}), openList(list("..", "...000")), openList(list("x", "../victim")), openList(list("../victim", "../victim.000")),
			openList(list("", ".000")), openList(list("x", "x.001")),
		),
		"split.File.Close":   nil,
		"split.File.Holding": eachSize(func(n int64) error { return fails(len((&split.File{}).Holding(n, n)) == 0) }),
		"split.File.ReadAt": eachSize(func(n int64) error {
			_, err := (&split.File{}).ReadAt(make([]byte, 1), n)
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}),
		"split.Create": all(
			func() error { _, err := split.Create("", 1); return err },
			func() error { _, err := split.Create("/", 1); return err },
			func() error { _, err := split.Create(filepath.Join(outer, "y"), 0); return err },
			func() error { _, err := split.Create(filepath.Join(outer, "y"), math.MinInt64); return err },
		),
		"split.Writer.Close":    nil,
		"split.Writer.Commit":   nil,
		"split.Writer.PartSize": nil,
		"split.Writer.Write":    nil,
	}
}

// odd is a signer without a public key.
type odd struct{ crypto.Signer }

// Public implements crypto.Signer.
func (odd) Public() crypto.PublicKey { return nil }

func signatureArguments(outer string) map[string]func() error {
	return map[string]func() error{
		"signature.Path": all(func() error { _, err := signature.Path(filepath.Join(outer, "victim.000")); return err }),
		"signature.Sign": all(
			func() error { _, err := signature.Sign(nil, nil); return err },
			func() error { _, err := signature.Sign(nil, odd{}); return err },
		),
		"signature.Fingerprint": all(
			func() error { _, err := signature.Fingerprint(nil); return err },
			func() error { _, err := signature.Fingerprint(ed25519.PublicKey{1}); return err },
		),
		"signature.Keys.Check": all(
			func() error { return signature.Keys(nil).Check(nil, nil) },
			func() error { return signature.Keys{}.Check(nil, nil) },
			func() error { return signature.Keys{nil}.Check(nil, nil) },
			func() error { return signature.Keys{ed25519.PublicKey{1}}.Check(nil, nil) },
			func() error { return signature.Keys{(*ecdsa.PublicKey)(nil)}.Check(nil, nil) },
			func() error { return signature.Keys{&ecdsa.PublicKey{}}.Check(nil, nil) },
		),
		"signature.Keys.Fingerprints": calm(func() { signature.Keys{nil}.Fingerprints() }),
		"signature.KeyError.Error":    nil,
		"signature.KeyError.Unwrap":   nil,
		"signature.ParsePrivateKey":   all(func() error { _, err := signature.ParsePrivateKey(nil); return err }),
		"signature.ParsePublicKeys":   all(func() error { _, err := signature.ParsePublicKeys(nil); return err }),
	}
}

// layerArguments are those of the packages that look into layers.
func layerArguments() map[string]func() error {
	add := func(m layerrules.Member) func() error {
		return func() error { _, err := new(layerrules.Checker).Add(m); return err }
	}
	closed := func() (*compression.Reader, error) {
		r, err := compression.NewReader(context.Background(), strings.NewReader("x"))
		if err == nil {
			err = r.Close()
		}
		return r, err
	}
	return map[string]func() error{
		"compression.Detect": calm(func() { compression.Detect(nil) }),
		"compression.NewReader": all(func() error {
			_, err := compression.NewReader(context.Background(), strings.NewReader("\x1f\x8b\x08"))
			return err
		}),
		"compression.Reader.Read":  all(func() error { r, err := closed(); _, readErr := r.Read(nil); return errors.Join(err, readErr) }),
		"compression.Reader.Close": calm(func() { _, _ = closed() }),
		"layerrules.Checker.Add": all(
			add(layerrules.Member{Name: "../x", Type: '0'}), add(layerrules.Member{Name: "x", Type: '\xff'}),
			add(layerrules.Member{Name: "x", Type: '1'}), add(layerrules.Member{Name: "x", Type: '2'}),
		),
		"layerrules.Begin":         nil,
		"layerrules.Checker.Bound": calm(func() { new(layerrules.Checker).Bound(nil, -1) }),
		"layerrules.Checker.At":    calm(func() { new(layerrules.Checker).At("../x"); new(layerrules.Checker).At("x") }),
		"layerrules.Checker.End":   calm(func() { _ = new(layerrules.Checker).End() }),
		"layerrules.Checker.Kept":  nil,
		"layerrules.Error.Error":   nil,
		"layerrules.Error.Unwrap":  nil,
		"layerrules.Inside":        all(func() error { _, err := layerrules.Inside("../x"); return err }),
		"layerrules.LinkTarget": all(
			func() error { _, err := layerrules.LinkTarget(""); return err },
			func() error { _, err := layerrules.LinkTarget("/"); return err },
			func() error { _, err := layerrules.LinkTarget("../x"); return err },
		),
		"layerrules.OfHeader":  nil,
		"layerrules.Reasons":   nil,
		"layerrules.Sparse":    nil,
		"layerrules.Supported": calm(func() { layerrules.Supported("") }),
		"layerrules.Xattrs":    nil,
	}
}
