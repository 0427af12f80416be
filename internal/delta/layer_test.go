package delta

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle/delta"
)

// layers are plain tars by diff ID. They are Content, and what a node has.
type layers map[digest.Digest][]byte

// ReadOld implements Content.
func (l layers) ReadOld(_ context.Context, f OldFile) ([]byte, error) {
	return l[f.Layer][f.Offset : f.Offset+f.Size], nil
}

// OpenOld implements delta.Old.
func (l layers) OpenOld(layer digest.Digest, f delta.File) (delta.OldFile, error) {
	return oldFiles(l[layer][f.Offset:f.Offset+f.Size]).OpenOld(layer, f)
}

type member struct {
	name    string
	content []byte
}

func makeTar(t *testing.T, members ...member) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, m := range members {
		if err := w.WriteHeader(&tar.Header{Name: m.name, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(m.content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(m.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return append(buf.Bytes(), make([]byte, 9216)...) // as tar fills its last record
}

// TestWrite tells a layer by two older ones: equal under another path, changed, moved, new.
func TestWrite(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	noise := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return b
	}
	program, library, data, fresh := noise(300_000), noise(200_000), noise(100_000), noise(1000)
	first := makeTar(t, member{"usr/bin/program", program}, member{"etc/twice", data}, member{"etc/twice", program[:50_000]}, member{"empty", nil})
	second := makeTar(t, member{"usr/lib/1/library", library}, member{"usr/share/data", data})
	changed := append(append(bytes.Clone(program[:100_000]), "more"...), program[100_000:]...)
	changed[7]++
	now := makeTar(t, member{"./usr/bin/program", changed}, member{"usr/lib/2/library", append([]byte("x"), library...)},
		member{"opt/data", data}, member{"fresh", fresh}, member{"empty", nil})
	all := layers{digest.FromBytes(first): first, digest.FromBytes(second): second}
	var olds Olds
	from := make([]digest.Digest, 0, len(all))
	for d := range all {
		from = append(from, d)
	}
	if from[0] > from[1] {
		from[0], from[1] = from[1], from[0]
	}
	for _, d := range from {
		if err := olds.Add(d, bytes.NewReader(all[d])); err != nil {
			t.Fatal(err)
		}
	}
	var told [2]bytes.Buffer
	for i := range told {
		if err := Write(t.Context(), &told[i], bytes.NewReader(now), int64(len(now)), &olds, all, from); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(told[0].Bytes(), told[1].Bytes()) {
		t.Error("the same layer is told in two ways")
	}
	if n := told[0].Len(); n > 3000 {
		t.Errorf("%d bytes, of which 1000 are new", n)
	}
	r, err := delta.NewReader(&told[0], int64(len(now)), all)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, now) {
		t.Errorf("it makes another layer: %v", err)
	}
}
