package bundle_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/layout"
)

// badDigests are what a hostile document may have in place of a digest.
func badDigests() []digest.Digest {
	return []digest.Digest{
		"", ":", "nonsense", "sha256", "sha256:", "sha256:../../../victim", "sha256:/etc/passwd",
		digest.Digest("sha256:" + strings.Repeat("A", 64)), digest.Digest("sha256:" + strings.Repeat("a", 63)),
		digest.Digest("md5:" + strings.Repeat("a", 32)), digest.SHA512.FromString(""), "sha256:\x00", "../../../victim",
	}
}

// eachDigest calls f with every bad digest; each must be an error.
func eachDigest(f func(d digest.Digest) error) func() error {
	return func() error {
		for _, d := range badDigests() {
			if f(d) == nil {
				return fmt.Errorf("digest %q was taken", d)
			}
		}
		return nil
	}
}

// eachSize does so with sizes that nothing has.
func eachSize(f func(n int64) error) func() error {
	return func() error {
		for _, n := range []int64{-1, math.MinInt64} {
			if f(n) == nil {
				return fmt.Errorf("%d was taken", n)
			}
		}
		return nil
	}
}

// all wants an error of each.
func all(calls ...func() error) func() error {
	return func() error {
		for i, f := range calls {
			if f() == nil {
				return fmt.Errorf("argument %d of the list was taken", i)
			}
		}
		return nil
	}
}

// calm wants no panic; what is returned for nonsense is nonsense.
func calm(f func()) func() error {
	return func() error { f(); return nil }
}

func fails(ok bool) error {
	if ok {
		return errors.New("refused")
	}
	return nil
}

// TestArguments calls every exported function of the public packages with arguments
// that a hostile document may lead to. A function that is not in the table fails it.
func TestArguments(t *testing.T) {
	t.Parallel()
	outer := t.TempDir()
	victim := filepath.Join(outer, "victim")
	if err := os.WriteFile(victim, []byte("victim"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := layout.Create(filepath.Join(outer, "layout"))
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]func() error{}
	for _, part := range []map[string]func() error{layoutArguments(t, l, outer), bundleArguments(), fileArguments(t, outer), signatureArguments(outer), layerArguments()} {
		for name, f := range part {
			table[name] = f
		}
	}
	for _, name := range exported(t) {
		f, ok := table[name]
		if !ok {
			t.Errorf("%s has no entry in this table", name)
			continue
		}
		delete(table, name)
		if f == nil {
			continue // takes nothing that could be wrong
		}
		func() {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("%s: panic: %v", name, p)
				}
			}()
			if err := f(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}()
	}
	for name := range table {
		t.Errorf("%s is in the table and does not exist", name)
	}
	if data, err := os.ReadFile(victim); err != nil || string(data) != "victim" {
		t.Errorf("a file outside of the layout: %q, %v", data, err)
	}
}

func layoutArguments(t *testing.T, l *layout.Dir, outer string) map[string]func() error {
	t.Helper()
	ctx := t.Context()
	read := func(v *layout.Verifier) error {
		_, err := io.Copy(io.Discard, v)
		return err
	}
	return map[string]func() error{
		"layout.CheckDigest": eachDigest(layout.CheckDigest),
		"layout.BlobPath":    eachDigest(func(d digest.Digest) error { return fails(layout.BlobPath(d) == "") }),
		"layout.Create":      all(func() error { _, err := layout.Create(filepath.Join(outer, "victim")); return err }),
		"layout.Open": all(
			func() error { _, err := layout.Open(""); return err },
			func() error { _, err := layout.Open(outer); return err },
		),
		"layout.Dir.Blobs":    nil,
		"layout.Dir.Index":    nil,
		"layout.Dir.PutBytes": nil,
		"layout.Dir.SetIndex": nil,
		"layout.Dir.Has":      eachDigest(func(d digest.Digest) error { return fails(!l.Has(d)) }),
		"layout.Dir.Open":     eachDigest(func(d digest.Digest) error { _, err := l.Open(d); return err }),
		"layout.Dir.Put":      eachDigest(func(d digest.Digest) error { return l.Put(ctx, d, 0, strings.NewReader("")) }),
		"layout.Dir.Remove":   eachDigest(l.Remove),
		"layout.Dir.ReadBlob": func() error {
			d, err := l.PutBytes(ctx, []byte("blob"))
			if err != nil {
				return err
			}
			for _, limit := range []int64{-1, math.MinInt64, math.MaxInt64} {
				if _, err := l.ReadBlob(d, limit); err == nil {
					return fmt.Errorf("a limit of %d was taken", limit)
				}
			}
			return eachDigest(func(d digest.Digest) error { _, err := l.ReadBlob(d, 1); return err })()
		},
		"layout.MarshalIndex": nil,
		"layout.ParseIndex":   all(func() error { _, err := layout.ParseIndex(strings.NewReader("[")); return err }),
		"layout.NewVerifier":  eachDigest(func(d digest.Digest) error { return read(layout.NewVerifier(strings.NewReader("x"), d, 1)) }),
		"layout.Verifier.Read": all(
			func() error {
				return read(layout.NewVerifier(strings.NewReader("x"), digest.FromString("x"), math.MaxInt64))
			},
			func() error { return read(layout.NewVerifier(strings.NewReader("x"), digest.FromString("x"), 0)) },
		),
	}
}

func bundleArguments() map[string]func() error {
	image := func(d digest.Digest) *bundle.Image {
		return &bundle.Image{
			Digest: d, Index: d, Config: bundle.Config{Digest: d, Size: -1}, Layers: []bundle.Layer{{Digest: d, DiffID: d, Size: -1, DiffSize: math.MinInt64}},
			Attachments: []bundle.Attachment{{Kind: "x", Tag: string(d), Key: string(d), Digest: d, Blobs: []digest.Digest{d}}},
		}
	}
	inventory := func(d digest.Digest) *bundle.Inventory {
		return &bundle.Inventory{
			Images: []bundle.Image{*image(d)}, Blobs: []bundle.Blob{{Digest: d, Size: -1, Table: d}},
			Base: &bundle.Base{Inventory: d, Blobs: []bundle.Blob{{Digest: d, Size: math.MinInt64}}},
		}
	}
	// whatever calls f with an inventory of nonsense.
	whatever := func(f func(inv *bundle.Inventory, img *bundle.Image)) func() error {
		return calm(func() {
			for _, d := range badDigests() {
				f(inventory(d), image(d))
			}
			f(&bundle.Inventory{}, &bundle.Image{})
		})
	}
	return map[string]func() error{
		"bundle.CheckDigest":      eachDigest(bundle.CheckDigest),
		"bundle.IsForeign":        nil,
		"bundle.IsIndex":          nil,
		"bundle.LayerCompression": all(func() error { _, err := bundle.LayerCompression("+"); return err }, func() error { _, err := bundle.LayerCompression("x"); return err }),
		"bundle.ManifestConfig": eachDigest(func(d digest.Digest) error {
			_, err := bundle.ManifestConfig(fmt.Appendf(nil, `{"schemaVersion":2,"config":{"digest":%q}}`, d), v1.MediaTypeImageManifest)
			return err
		}),
		"bundle.SignatureKey": all(
			eachDigestRefused(func(d digest.Digest) error { return fails(bundle.SignatureKey(d, 1) == "") }),
			func() error { return fails(bundle.SignatureKey(digest.FromString(""), 0) == "") },
			func() error { return fails(bundle.SignatureKey(digest.FromString(""), -1) == "") },
		),
		"bundle.SignatureTag": eachDigest(func(d digest.Digest) error { return fails(bundle.SignatureTag(d) == "") }),
		"bundle.CheckName": all(
			func() error { return bundle.CheckName("") },
			func() error { return bundle.CheckName("quay.io/a/b:sha256-" + strings.Repeat("a", 64) + ".sig") },
		),
		"bundle.SigstoreBlob": nil,
		"bundle.SimpleBlob":   nil,
		"bundle.DescribeAttachment": eachDigest(func(d digest.Digest) error {
			_, _, _, err := bundle.DescribeAttachment(fmt.Appendf(nil, `{"schemaVersion":2,"config":{"digest":%q}}`, d), v1.MediaTypeImageManifest)
			return err
		}),
		"bundle.DescribeImage": eachDigest(func(d digest.Digest) error {
			config := []byte(`{"rootfs":{"type":"layers","diff_ids":["x"]}}`)
			m := fmt.Appendf(nil, `{"schemaVersion":2,"config":{"digest":%q,"size":%d},"layers":[{"mediaType":%q,"digest":%q}]}`,
				digest.FromBytes(config), len(config), v1.MediaTypeImageLayer, d)
			_, err := bundle.DescribeImage(m, v1.MediaTypeImageManifest, config)
			return err
		}),
		"bundle.Attachment.HasManifest": nil,
		"bundle.Attachment.Signs":       nil,
		"bundle.Attachment.Subject": eachDigest(func(d digest.Digest) error {
			a := bundle.Attachment{Key: strings.Replace(string(d), ":", "-", 1) + "-1"}
			return fails(a.Subject() == "")
		}),
		"bundle.Base.ID":            calm(func() { (*bundle.Base)(nil).ID() }),
		"bundle.Base.Layers":        calm(func() { (*bundle.Base)(nil).Layers() }),
		"bundle.Base.Name":          whatever(func(inv *bundle.Inventory, _ *bundle.Image) { _ = inv.Base.ID() }),
		"bundle.BlobKind.Small":     nil,
		"bundle.DamageError.Error":  nil,
		"bundle.DamageError.Unwrap": nil,
		"bundle.Image.CheckAttachment": whatever(func(_ *bundle.Inventory, img *bundle.Image) {
			_ = img.CheckAttachment(&bundle.Attachment{Digest: img.Digest}, []byte("{}"))
		}),
		"bundle.ChainError.Error":  nil,
		"bundle.ChainError.Unwrap": nil,
		"bundle.Image.Named":       whatever(func(_ *bundle.Inventory, img *bundle.Image) { img.Named("@") }),
		"bundle.Image.Prove": eachDigest(func(d digest.Digest) error {
			_, err := image(d).Prove(func(digest.Digest) ([]byte, error) { return []byte("{}"), nil })
			return err
		}),
		"bundle.Image.Readable": whatever(func(_ *bundle.Inventory, img *bundle.Image) {
			_, _ = img.Readable()
		}),
		"bundle.IsArtifact": calm(func() { bundle.IsArtifact(nil, "") }),
		"bundle.DescribeArtifact": eachDigest(func(d digest.Digest) error {
			_, err := bundle.DescribeArtifact(fmt.Appendf(nil, `{"config":{"mediaType":"x","digest":%q}}`, d), v1.MediaTypeImageManifest)
			return err
		}),
		"bundle.Image.Exact":           nil,
		"bundle.Image.UnreadableNames": whatever(func(_ *bundle.Inventory, img *bundle.Image) { img.UnreadableNames() }),
		"bundle.ReadableArtifact":      calm(func() { bundle.ReadableArtifact("") }),
		"bundle.RequiresFeature":       calm(func() { bundle.RequiresFeature([]byte(`{"requires":[1]}`), "") }),
		"bundle.Layer.RegistrySize":    nil,
		"bundle.Inventory.HasArtifact": nil,
		"bundle.Image.Signed":          nil,
		"bundle.Inventory.HasReadable": nil,
		"bundle.Inventory.SetFormat":   whatever(func(inv *bundle.Inventory, _ *bundle.Image) { inv.SetFormat() }),
		"bundle.UnsupportedError.Error": calm(func() {
			_ = (&bundle.UnsupportedError{Format: "\xff", Features: make([]string, 1000)}).Error()
		}),
		"bundle.UnsupportedError.Unwrap": nil,
		"bundle.Image.Subjects":          nil,
		"bundle.ParseInventory": eachDigest(func(d digest.Digest) error {
			_, err := bundle.ParseInventory(strings.NewReader(fmt.Sprintf(`{"format":%q,"layers":"expanded","images":[],"blobs":[{"digest":%q,"kind":"manifest"}]}`, bundle.FormatV1, d)))
			return err
		}),
		"bundle.Inventory.Holds":      nil,
		"bundle.Inventory.ImageBlobs": whatever(func(inv *bundle.Inventory, img *bundle.Image) { inv.ImageBlobs(img) }),
		"bundle.Inventory.Index": whatever(func(inv *bundle.Inventory, _ *bundle.Image) {
			_, _ = inv.Index()
		}),
		"bundle.Inventory.CheckImages": whatever(func(inv *bundle.Inventory, _ *bundle.Image) { inv.CheckImages() }),
		"bundle.Inventory.IndexBytes": whatever(func(inv *bundle.Inventory, _ *bundle.Image) {
			_, _ = inv.IndexBytes()
		}),
		"bundle.Inventory.LayerBlob": nil,
		"bundle.Inventory.Marshal": whatever(func(inv *bundle.Inventory, _ *bundle.Image) {
			_, _ = inv.Marshal()
		}),
		"bundle.Inventory.Usage": whatever(func(inv *bundle.Inventory, _ *bundle.Image) { inv.Usage() }),
		"bundle.Inventory.WriteIndex": whatever(func(inv *bundle.Inventory, _ *bundle.Image) {
			_ = inv.WriteIndex(io.Discard)
		}),
		"bundle.Blob.UnmarshalJSON":  nil,
		"bundle.Image.UnmarshalJSON": nil,
		"bundle.Layer.UnmarshalJSON": nil,
		"bundle.ParseInventoryBytes": eachDigest(func(d digest.Digest) error {
			_, err := bundle.ParseInventoryBytes(fmt.Appendf(nil, `{"format":%q,"layers":"expanded","images":[],"blobs":[{"digest":%q,"kind":"manifest"}]}`, bundle.FormatV1, d))
			return err
		}),
		"bundle.Inventory.Validate": eachDigest(func(d digest.Digest) error { return inventory(d).Validate() }),
		"bundle.Inventory.Whole":    whatever(func(inv *bundle.Inventory, _ *bundle.Image) { inv.Whole() }),
		"bundle.Inventory.WholeBytes": whatever(func(inv *bundle.Inventory, _ *bundle.Image) {
			_, _ = inv.WholeBytes(nil)
		}),
		"bundle.Origin.String": nil,
	}
}

// eachDigestRefused is eachDigest for a list of calls of all: an error where each
// digest was refused.
func eachDigestRefused(f func(d digest.Digest) error) func() error {
	return func() error { return fails(eachDigest(f)() == nil) }
}

// exported returns the exported functions of the public packages, and the exported
// methods of their exported types.
func exported(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, dir := range []string{"../layout", ".", "archive", "compression", "filetable", "layerrules", "seekable", "signature", "split"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(files), err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || !fn.Name.IsExported() {
					continue
				}
				full := f.Name.Name + "."
				if fn.Recv != nil {
					typ := fn.Recv.List[0].Type
					if star, ok := typ.(*ast.StarExpr); ok {
						typ = star.X
					}
					id, ok := typ.(*ast.Ident)
					if !ok || !id.IsExported() {
						continue
					}
					full += id.Name + "."
				}
				names = append(names, full+fn.Name.Name)
			}
		}
	}
	slices.Sort(names)
	return names
}
