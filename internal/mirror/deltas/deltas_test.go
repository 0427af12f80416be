package deltas_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	format "github.com/nodeseal/nodeseal/bundle/delta"
	"github.com/nodeseal/nodeseal/internal/mirror/deltas"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// olds are plain tars by diff ID, as an earlier release has them.
type olds map[digest.Digest][]byte

func (o olds) HasOld(_ context.Context, d digest.Digest) bool { return o[d] != nil }

func (o olds) OpenOld(_ context.Context, d digest.Digest) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(o[d])), nil
}

func (o olds) OldFiles(context.Context, *archive.Spool) format.Old { return files(o) }

type files olds

func (f files) OpenOld(d digest.Digest, at format.File) (format.OldFile, error) {
	return struct {
		io.ReaderAt
		io.Closer
	}{bytes.NewReader(f[d][at.Offset : at.Offset+at.Size]), io.NopCloser(nil)}, nil
}

// layer is a tar with one file of noise, of which changed bytes are others.
func layer(t *testing.T, name string, seed uint64, changed int) []byte {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 1))
	content := make([]byte, 100_000)
	for i := range content {
		content[i] = byte(rnd.Uint32())
	}
	for i := range changed {
		content[1000*i+500]++
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	must(t, w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(content))}))
	_, err := w.Write(content)
	must(t, err)
	must(t, w.Close())
	return buf.Bytes()
}

func newLayer(data []byte, held int64, by ...digest.Digest) deltas.Layer {
	return deltas.Layer{
		DiffID: digest.FromBytes(data), Size: int64(len(data)), Held: held, By: by,
		Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
	}
}

// TestMake holds layers as deltas only if these are shorter and take what they may, names only the layers that they take,
// and makes the same ones in one job and in many.
func TestMake(t *testing.T) {
	t.Parallel()
	old := make(olds)
	var all []digest.Digest
	var layers []deltas.Layer
	for i := range 12 {
		data := layer(t, fmt.Sprint("file", i), uint64(i), 0)
		old[digest.FromBytes(data)] = data
		all = append(all, digest.FromBytes(data))
		layers = append(layers, newLayer(layer(t, fmt.Sprint("file", i), uint64(i), 10), 100_000, all[i]))
	}
	layers = append(layers, newLayer(layer(t, "file3", 99, 0), 100_000, all...), newLayer(layer(t, "file4", 4, 11), 100, all...),
		newLayer(make([]byte, 1024), 100, all...), newLayer(layer(t, "file5", 5, 9), 100_000), newLayer(layer(t, "file5", 5, 8), 100_000, all[:5]...))
	run := func(jobs int) []deltas.Made {
		var read, total, whole atomic.Int64
		made, err := deltas.Make(t.Context(), old, layers, deltas.Options{
			Dir: t.TempDir(), Jobs: jobs, Begin: func(n int64) { total.Add(n) }, Read: func(n int64) { read.Add(n) },
			Whole: func(digest.Digest, error) { whole.Add(1) },
		})
		must(t, err)
		if read.Load() != total.Load() || whole.Load() != 5 {
			t.Errorf("%d of %d bytes were read, %d layers are held whole", read.Load(), total.Load(), whole.Load())
		}
		for i := range made {
			data, err := os.ReadFile(made[i].Path)
			must(t, err)
			if digest.FromBytes(data) != made[i].Delta || int64(len(data)) != made[i].Size {
				t.Errorf("the delta of %s is another", made[i].Layer)
			}
			made[i].Path = ""
		}
		return made
	}
	one, many := run(1), run(8)
	if len(one) != 12 || !slices.EqualFunc(one, many, func(a, b deltas.Made) bool { return a.Delta == b.Delta && slices.Equal(a.From, b.From) }) {
		t.Errorf("in one job: %v; in many: %v", one, many)
	}
	for i, m := range one {
		if m.Layer != layers[i].DiffID || !slices.Equal(m.From, all[i:i+1]) || m.Size > 2000 {
			t.Errorf("%+v", m)
		}
	}
}

// TestDamaged refuses an earlier release that is not what it must be.
func TestDamaged(t *testing.T) {
	t.Parallel()
	data := layer(t, "file", 1, 0)
	d := digest.FromBytes(data)
	damaged := bytes.Clone(data)
	damaged[5000]++
	layers := []deltas.Layer{newLayer(layer(t, "file", 1, 5), 100_000, d)}
	_, err := deltas.Make(t.Context(), olds{d: damaged}, layers, deltas.Options{Earlier: "old.tar.zst", Dir: t.TempDir()})
	var earlier *deltas.EarlierError
	if !errors.Is(err, bundle.ErrDamaged) || !errors.As(err, &earlier) || earlier.Path != "old.tar.zst" {
		t.Errorf("a damaged layer: %v", err)
	}
	// It is damaged after it was indexed.
	_, err = deltas.Make(t.Context(), later{olds{d: damaged}, data}, layers, deltas.Options{Earlier: "old.tar.zst", Dir: t.TempDir()})
	if !errors.Is(err, bundle.ErrDamaged) || !errors.Is(err, format.ErrOld) || !errors.As(err, &earlier) {
		t.Errorf("a layer that was damaged meanwhile: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = deltas.Make(ctx, olds{d: data}, layers, deltas.Options{Earlier: "old.tar.zst", Dir: t.TempDir()}); !errors.Is(err, context.Canceled) {
		t.Errorf("at the end of the context: %v", err)
	}
}

// later has another tar than its files are of.
type later struct {
	olds
	tar []byte
}

func (l later) OpenOld(context.Context, digest.Digest) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.tar)), nil
}
