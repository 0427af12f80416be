//go:build attacks

package attacks

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
)

// deltaOf is a delta of a plain tar of size bytes: numbers and bytes in one zstd frame.
func deltaOf(t *testing.T, size int64, from digest.Digest, records ...any) content {
	t.Helper()
	var buf bytes.Buffer
	z, err := zstd.NewWriter(&buf, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	must(t, err)
	put := func(p []byte) {
		_, err := z.Write(p)
		must(t, err)
	}
	put(binary.AppendUvarint([]byte("nodeseal delta v1\n"), uint64(size)))
	put([]byte{1})
	_, err = io.Copy(z, hexReader(from))
	must(t, err)
	for _, r := range records {
		switch r := r.(type) {
		case int:
			put(binary.AppendUvarint(nil, uint64(r)))
		case string:
			put([]byte(r))
		case content:
			_, err := io.Copy(z, r())
			must(t, err)
		case io.Reader:
			_, err := io.Copy(z, r)
			must(t, err)
		}
	}
	must(t, z.Close())
	return func() io.Reader { return bytes.NewReader(buf.Bytes()) }
}

// hexReader gives the 32 bytes of a digest.
func hexReader(d digest.Digest) io.Reader {
	raw := make([]byte, 32)
	for i := range raw {
		raw[i] = unhex(d.Encoded()[2*i])<<4 | unhex(d.Encoded()[2*i+1])
	}
	return bytes.NewReader(raw)
}

func unhex(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
}

// TestHostileDeltas completes bundles whose delta wants what it must not have, of a bundle and of
// a store as the base.
func TestHostileDeltas(t *testing.T) {
	const size = 64 << 20
	old := newRelease(bundle.Expanded, 1<<20)
	old.add(t, zeros(t, "file", size), nil, 1)
	base := old.write(t)
	from := old.inv.Images[0].Layers[0].DiffID
	now := zeros(t, "other", size+(128<<10))
	_, n := measure(t, now)
	store := filepath.Join(t.TempDir(), "store")
	if o := nodeseal(t, "", nil, nil, "import", base, "--store", store, "--no-seal"); o.Exit != 0 {
		t.Fatalf("import: %+v", o)
	}
	file := func(kind int, more ...any) []any { return append([]any{kind, 0, 4, "file", 2 * 512, size}, more...) }
	pieces := file(3, 0, 0)
	for name, c := range map[string]struct {
		records []any
		says    string
	}{
		"copies beyond an old file":       {append(pieces[:len(pieces):len(pieces)], 1, 100, 0, 2*size), "of an old file of"},
		"copies before an old file":       {append(pieces[:len(pieces):len(pieces)], 1, 100, 0, 1), "of an old file of"},
		"256 MiB more than the layer":     {[]any{1, int(n), now, 1, int(n), &repeated{each: "\x00", left: 256 << 20}}, "it makes more than"},
		"256 MiB of pieces without bytes": {append(pieces[:len(pieces):len(pieces)], 1<<17, &repeated{each: "\x00", left: 256 << 20}), "makes nothing"},
		"2^40 pieces":                     {append(pieces[:len(pieces):len(pieces)], 1<<40), "at most 131072 is possible"},
		"2^40 differences":                {append(pieces[:len(pieces):len(pieces)], 1, 100, 0, 0, 100, 1<<40), "at most 262144 is possible"},
		"a path of 2^40 bytes":            {[]any{2, 0, 1 << 40}, "at most 4096 is possible"},
		"a path out of the layer":         {[]any{2, 0, 14, "../../../hosts", 2 * 512, 100}, "an old file with the path"},
		"a layer that it does not name":   {[]any{2, 1, 4, "file", 2 * 512, size}, "at most 0 is possible"},
		"a file that the base lacks":      {[]any{2, 0, 4, "none", 1 << 41, 100}, "\"none\""},
		"another layer":                   {[]any{1, int(n), zeros(t, "third", size+(128<<10)), 0}, "it makes another layer"},
	} {
		r := newRelease(bundle.Expanded, 1<<20)
		r.add(t, now, nil, 1)
		path := tell(t, r, from, deltaOf(t, n, from, c.records...))
		for kind, place := range map[string]string{"bundle": base, "store": store} {
			target := filepath.Join(t.TempDir(), "target")
			attack{
				Name: "delta: " + name + ": import, the base is a " + kind, Before: "not tried", Exit: 4, Says: c.says,
				After: func(t *testing.T, _ outcome) {
					if _, err := os.Stat(target); !errors.Is(err, fs.ErrNotExist) {
						t.Errorf("there is a store: %v", err)
					}
				},
			}.run(t, "import", path, "--store", target, "--no-seal", "--base", place)
		}
		attack{Name: "delta: " + name + ": verify", Before: "not tried", Exit: 4, Says: c.says}.run(t, "verify", path, "--base", base)
	}
}

// TestWideDelta reads 100,000 pieces all over an old layer of 64 MiB.
func TestWideDelta(t *testing.T) {
	const size, pieces, jump = 64 << 20, 100_000, 40_000_003
	old := newRelease(bundle.Expanded, 1<<20)
	old.add(t, zeros(t, "file", size), nil, 1)
	base := old.write(t)
	from := old.inv.Images[0].Layers[0].DiffID
	now := zeros(t, "new", 128<<10)
	_, n := measure(t, now)
	content, err := io.ReadAll(now())
	must(t, err)
	records := []any{1, 512, string(content[:512]), 3, 0, 4, "file", 2 * 512, size, 0, 0, pieces}
	at, end := 0, 0
	for range pieces {
		at = (at + jump) % (size - 1)
		records = append(records, 1, 0, zigzag(at-end))
		end = at + 1
	}
	left := int(n) - 512 - pieces
	records = append(records, pieces, 0, 0, 0, 0, 1, left, strings.Repeat("\x00", left), 0)
	r := newRelease(bundle.Expanded, 1<<20)
	r.add(t, now, nil, 1)
	path := tell(t, r, from, deltaOf(t, n, from, records...))
	attack{Name: "delta: 100,000 pieces all over an old layer: import", Before: "not tried"}.run(t,
		"import", path, "--store", filepath.Join(t.TempDir(), "target"), "--no-seal", "--base", base)
}

func zigzag(n int) int { return n<<1 ^ n>>63 }

// tell makes the layer of r one that the delta makes of the layer from.
func tell(t *testing.T, r *release, from digest.Digest, delta content) string {
	t.Helper()
	layer := r.inv.Images[0].Layers[0].DiffID
	r.inv.Base = &bundle.Base{Inventory: digest.FromString("old")}
	kept := r.inv.Blobs[:0:0]
	for _, b := range r.inv.Blobs {
		if b.Digest == layer {
			r.inv.Base.Blobs = append(r.inv.Base.Blobs, b)
		} else {
			kept = append(kept, b)
		}
	}
	r.inv.Blobs = kept
	d := r.blob(t, bundle.KindDelta, delta)
	r.inv.Base.Deltas = []bundle.Delta{{Layer: layer, Delta: d, From: []digest.Digest{from}}}
	r.inv.SetFormat()
	return r.write(t)
}
