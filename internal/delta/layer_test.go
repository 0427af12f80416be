package delta

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle/delta"
)

// layers are plain tars by diff ID, as a node has them.
type layers map[digest.Digest][]byte

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

// scan adds a layer.
func scan(t testing.TB, olds *Olds, layer []byte) {
	t.Helper()
	files, err := Scan(digest.FromBytes(layer), bytes.NewReader(layer), olds.Room())
	if err != nil {
		t.Fatal(err)
	}
	olds.Add(digest.FromBytes(layer), files)
}

// TestScanBound keeps the first files, and still leaves out a path that comes again later.
func TestScanBound(t *testing.T) {
	t.Parallel()
	layer := makeTar(t, member{"one", []byte("1")}, member{"two", []byte("2")}, member{"three", []byte("3")}, member{"four", []byte("4")},
		member{"two", []byte("2")}, member{"five", []byte("5")})
	for most, want := range [][]string{{}, {"one"}, {"one"}, {"one", "three"}, {"one", "three", "four"}, {"one", "three", "four"}, {"one", "three", "four", "five"}} {
		files, err := Scan(digest.FromBytes(layer), bytes.NewReader(layer), most)
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for _, f := range files {
			got = append(got, f.Path)
		}
		if !slices.Equal(got, want) {
			t.Errorf("at most %d: %v, want %v", most, got, want)
		}
	}
}

// write plans and writes a delta, and returns the layers that it takes.
func write(t testing.TB, w io.Writer, olds *Olds, all layers, now []byte) []digest.Digest {
	t.Helper()
	p, err := olds.Plan(t.Context(), bytes.NewReader(now), slices.Sorted(maps.Keys(all)))
	if err != nil {
		t.Fatal(err)
	}
	used, err := p.Write(t.Context(), w, bytes.NewReader(now), int64(len(now)), all)
	if err != nil {
		t.Fatal(err)
	}
	return used
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
		scan(t, &olds, all[d])
	}
	var told [2]bytes.Buffer
	for i := range told {
		if used := write(t, &told[i], &olds, all, now); !slices.Equal(used, from) {
			t.Errorf("it takes %v, want %v", used, from)
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

// TestBy takes files of the layers only by which the new one may be told, whatever others have of
// that path or content, and of the layers that were planned names those that it needed.
func TestBy(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("some lines of text that are all alike\n", 100)
	shared := member{"shared", []byte("what another layer has, to the byte")}
	near := makeTar(t, member{"db", []byte(text)}, shared)
	far, other := makeTar(t, member{"db", []byte(text + strings.Repeat("x", 900))}), makeTar(t, member{"else", []byte("0123456789")})
	now := makeTar(t, member{"db", []byte(text + "!")}, member{"other/else", []byte(strings.Repeat("nothing alike", 9))}, shared)
	var olds Olds
	all := make(layers)
	for _, l := range [][]byte{near, far, other} {
		scan(t, &olds, l)
		all[digest.FromBytes(l)] = l
	}
	former := digest.FromBytes(far)
	p, err := olds.Plan(t.Context(), bytes.NewReader(now), []digest.Digest{digest.FromBytes(other), former, digest.FromString("unknown")})
	if err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	used, err := p.Write(t.Context(), &first, bytes.NewReader(now), int64(len(now)), all)
	if err != nil || !slices.Equal(used, []digest.Digest{former}) || len(p.From) != 2 {
		t.Fatalf("it takes %v of %v, %v", used, p.From, err)
	}
	p.From = used
	if _, err = p.Write(t.Context(), &second, bytes.NewReader(now), int64(len(now)), all); err != nil {
		t.Fatal(err)
	}
	r, err := delta.NewReader(&second, int64(len(now)), layers{former: far})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, now) {
		t.Errorf("it makes another layer: %v", err)
	}
	// A file that is no longer what it was is found before it is compared.
	all[former] = bytes.ReplaceAll(far, []byte("alike"), []byte("equal"))
	if _, err = p.Write(t.Context(), io.Discard, bytes.NewReader(now), int64(len(now)), all); !errors.Is(err, ErrChanged) || !errors.Is(err, delta.ErrOld) {
		t.Errorf("a changed file: %v", err)
	}
}

// TestSparse holds a layer with a sparse file whole, and a tar that is none.
func TestSparse(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	records := map[string]string{"NOT.sparse.major": "1", "NOT.sparse.minor": "0", "NOT.sparse.name": "sparse", "NOT.sparse.realsize": "4096"}
	places := "1\n4000\n96\n"
	content := append([]byte(places), make([]byte, 512-len(places)+96)...)
	head := &tar.Header{Name: "sparse", Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content)), PAXRecords: records, Format: tar.FormatPAX}
	if err := w.WriteHeader(head); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	sparse := bytes.ReplaceAll(buf.Bytes(), []byte("NOT.sparse"), []byte("GNU.sparse")) // which the writer refuses
	var olds Olds
	if _, err := olds.Plan(t.Context(), bytes.NewReader(sparse), nil); !errors.Is(err, ErrWhole) {
		t.Errorf("a sparse file: %v", err)
	}
	if _, err := olds.Plan(t.Context(), strings.NewReader(strings.Repeat("no tar", 500)), nil); !errors.Is(err, ErrWhole) {
		t.Errorf("no tar: %v", err)
	}
}
