package workdir

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/layerrules"
	"github.com/nodeseal/nodeseal/bundle/seekable"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// text is n bytes that do not compress to less than InlineMost where n is many.
func text(n int) []byte {
	out := make([]byte, 0, n+64)
	for len(out) < n {
		out = append(out, digest.FromBytes(out[max(0, len(out)-100):]).Encoded()...)
	}
	return out[:n]
}

// finish puts a layer with the content, and a file table of it, into the directory.
func finish(t *testing.T, w *Dir, enc *seekable.Encoder, compressed digest.Digest, layer, table []byte) digest.Digest {
	t.Helper()
	blob := digest.FromBytes(layer)
	write := func(f *FramesFile, data []byte) []seekable.Frame {
		_, err := f.Write(data)
		must(t, err)
		frames, err := f.End(int64(len(data)))
		must(t, err)
		return frames
	}
	frames, tables := w.CreateFrames(t.Context(), enc, blob), w.CreateTable(t.Context(), enc, blob)
	rec := &Record{Encoder: enc.Name(), Blob: blob, Size: int64(len(layer)), Frames: write(frames, layer)}
	rec.Table = &Table{Rules: layerrules.Version, Digest: digest.FromBytes(table), Size: int64(len(table)), Frames: write(tables, table)}
	must(t, w.Commit(compressed, rec, frames, tables))
	frames.Abort()
	tables.Abort()
	return blob
}

func openDir(t *testing.T) (*Dir, *seekable.Encoder) {
	t.Helper()
	enc, err := seekable.NewEncoder(1, 1)
	must(t, err)
	w, err := Open(t.TempDir(), enc.Name())
	must(t, err)
	t.Cleanup(w.Close)
	return w, enc
}

// files are the files of the directory with the bytes of layers.
func files(t *testing.T, w *Dir) []string {
	t.Helper()
	var out []string
	for _, dir := range []string{dirFrames, dirCompressed} {
		found, err := filepath.Glob(filepath.Join(w.root, dir, "*"))
		must(t, err)
		out = append(out, found...)
	}
	return out
}

func TestRecord(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		layer, table []byte
		files        int
	}{
		"small":                {text(100), text(10), 0},
		"empty":                {nil, nil, 0},
		"large, table small":   {text(1 << 20), text(1000), 1},
		"large with its table": {text(1 << 20), text(1 << 19), 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, enc := openDir(t)
			compressed := digest.FromString("compressed")
			blob := finish(t, w, enc, compressed, tt.layer, tt.table)
			if got := files(t, w); len(got) != tt.files {
				t.Errorf("files %q, want %d", got, tt.files)
			}
			if w.Record(compressed, blob, bundle.Original) != nil || w.Record(compressed, digest.FromString("x"), bundle.Expanded) != nil {
				t.Error("a record of another form or blob")
			}
			rec := w.Record(compressed, blob, bundle.Expanded)
			if rec == nil {
				t.Fatal("no record")
			}
			r, frames, err := w.OpenLayer(compressed, blob, bundle.Expanded)
			must(t, err)
			data, err := io.ReadAll(r)
			must(t, err)
			must(t, r.Close())
			if int64(len(data)) != FramesSize(frames) {
				t.Errorf("%d bytes of frames, want %d", len(data), FramesSize(frames))
			}
			r, _, err = w.OpenTable(compressed, blob, bundle.Expanded)
			must(t, err)
			must(t, r.Close())
			w.encoder = "another"
			if w.Record(compressed, blob, bundle.Expanded) != nil {
				t.Error("frames of another encoder are of use")
			}
		})
	}
}

// What a power cut may leave of a record that was not synced is no layer.
func TestRecordTorn(t *testing.T) {
	t.Parallel()
	w, enc := openDir(t)
	compressed := digest.FromString("compressed")
	blob := finish(t, w, enc, compressed, text(5000), text(100))
	path := w.recordPath(compressed)
	whole, err := os.ReadFile(path)
	must(t, err)
	for name, torn := range map[string][]byte{
		"empty":     nil,
		"short":     whole[:len(whole)/2],
		"zeros":     append(bytes.Clone(whole[:len(whole)/2]), make([]byte, len(whole)/2)...),
		"other":     bytes.Replace(whole, []byte(`"data":"`), []byte(`"data":"AAAA`), 1),
		"no inline": bytes.ReplaceAll(whole, []byte(`"inline"`), []byte(`"else"`)),
	} {
		must(t, os.WriteFile(path, torn, 0o600))
		if w.Record(compressed, blob, bundle.Expanded) != nil {
			t.Errorf("%s: it counts", name)
		}
		if _, _, err := w.OpenLayer(compressed, blob, bundle.Expanded); err == nil {
			t.Errorf("%s: it is opened", name)
		}
	}
	must(t, os.WriteFile(path, whole, 0o600))
	if w.Record(compressed, blob, bundle.Expanded) == nil {
		t.Error("the whole record does not count")
	}
}

// Compressed bytes count as a layer only where a record says so and all are there.
func TestCompressed(t *testing.T) {
	t.Parallel()
	w, _ := openDir(t)
	data := text(100_000)
	d := digest.FromBytes(data)
	f, kept, err := w.OpenCompressed(d, int64(len(data)))
	must(t, err)
	if kept != 0 {
		t.Errorf("%d bytes of nothing", kept)
	}
	_, err = f.Write(data[:60_000])
	must(t, err)
	must(t, f.Close())
	f, kept, err = w.OpenCompressed(d, int64(len(data)))
	must(t, err)
	if kept != 60_000 || w.Kept(d) != 60_000 {
		t.Errorf("%d bytes kept", kept)
	}
	_, err = f.WriteAt(data[60_000:], 60_000)
	must(t, err)
	if w.Record(d, d, bundle.Original) != nil {
		t.Error("it counts without a record")
	}
	must(t, f.Close())
	must(t, w.CommitCompressed(d, &Record{Blob: d, Size: int64(len(data))}))
	w.encoder = "another" // has nothing to say here
	r, frames, err := w.OpenLayer(d, d, bundle.Original)
	must(t, err)
	got, err := io.ReadAll(r)
	must(t, err)
	must(t, r.Close())
	if !bytes.Equal(got, data) || len(frames) != 0 {
		t.Errorf("%d bytes, %d frames", len(got), len(frames))
	}
	must(t, os.Truncate(w.compressedPath(d), 99_999))
	if w.Record(d, d, bundle.Original) != nil {
		t.Error("it counts without its end")
	}
}

// What was not synced is held to its digest by the next run, once.
func TestProve(t *testing.T) {
	t.Parallel()
	w, _ := openDir(t)
	data := text(100_000)
	d := digest.FromBytes(data)
	must(t, os.WriteFile(w.compressedPath(d), data, 0o600))
	must(t, w.CommitCompressed(d, &Record{Blob: d, Size: int64(len(data))}))
	prove := func(want bool) {
		t.Helper()
		rec := w.Record(d, d, bundle.Original)
		if rec == nil {
			t.Fatal("no record")
		}
		ok, err := w.Prove(d, rec)
		must(t, err)
		if ok != want {
			t.Errorf("proven: %t, want %t", ok, want)
		}
	}
	prove(true)
	if w.Record(d, d, bundle.Original).Loose {
		t.Error("it is proven again by the next run")
	}
	must(t, w.CommitCompressed(d, &Record{Blob: d, Size: int64(len(data))}))
	must(t, os.WriteFile(w.compressedPath(d), make([]byte, len(data)), 0o600))
	prove(false)
	if w.Record(d, d, bundle.Original) != nil || w.Kept(d) != 0 {
		t.Error("what is wrong is still there")
	}
}
