//go:build bench

package delta

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle/delta"
	"github.com/nodeseal/nodeseal/bundle/seekable"
)

// insideVar names a directory of plain tars: the layers of one bundle, in the order of their
// names. Without it they are the packages of goPackages.
const insideVar = "NODESEAL_BENCH_INSIDE"

// goPackages are programs in Go that Debian builds with one toolchain and one set of libraries, in
// the order of the layers.
func goPackages() []string {
	return []string{
		"umoci", "containers-storage", "runc", "serf", "openshift-imagebuilder", "cobra-cli", "hub", "direnv",
		"amazon-ecr-credential-helper", "oci-image-tool", "coredhcp-server", "ginkgo", "sql-migrate", "influxdb-client",
		"prometheus-redis-exporter", "vip-manager", "elvish", "git-lfs", "nats-server", "prometheus-pushgateway",
		"crowdsec-firewall-bouncer", "prometheus-node-exporter", "skopeo", "etcd-client", "docker-registry", "buildah",
		"etcd-server", "lego", "ignition", "podman", "kubernetes-client",
	}
}

// inside returns the files of the layers.
func inside(t *testing.T) []string {
	t.Helper()
	dir := os.Getenv(insideVar)
	if dir == "" {
		dir = filepath.Join("..", "..", ".bench", "inside")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for i, name := range goPackages() {
			file := filepath.Join(dir, fmt.Sprintf("%02d-%s.tar", i, name))
			if _, err := os.Stat(file); err == nil {
				continue
			}
			c := exec.CommandContext(t.Context(), "sh", "-ec", `d=$(mktemp -d) && cd "$d" && apt-get download -qq "$0" && dpkg-deb --fsys-tarfile *.deb > "$1.part" && mv "$1.part" "$1" && rm -r "$d"`, name, absolute(t, file))
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v: %s", name, err, out)
			}
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.tar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no layers: %v", dir, err)
	}
	return files
}

func absolute(t *testing.T, file string) string {
	t.Helper()
	abs, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// onDisk are plain tars in files by diff ID.
type onDisk map[digest.Digest]string

// OpenOld implements delta.Old.
func (o onDisk) OpenOld(layer digest.Digest, f delta.File) (delta.OldFile, error) {
	r, err := os.Open(o[layer])
	if err != nil {
		return nil, err
	}
	return &section{io.NewSectionReader(r, f.Offset, f.Size), r}, nil
}

type section struct {
	*io.SectionReader
	io.Closer
}

// held is a layer in a bundle. Fields are exported for gob.
type held struct {
	Name                        string
	DiffID                      digest.Digest
	Plain, Gzip, Named, Content int
	Frames                      [][]byte // whole
	Delta                       []byte   // nil if it is not shorter
	From                        []digest.Digest
	Most                        string // the program that the largest file is told by
	Best, Any                   float64
	Sketches                    []sketch
	Framing, Naming, Choosing   time.Duration

	chain time.Duration
}

func (h *held) whole() (n int) {
	for _, f := range h.Frames {
		n += len(f)
	}
	return n
}

// TestInside holds each layer as a delta against those before it where that is shorter, and prints
// the sizes beside those of a bundle, and then what a reader does for both. What was made of a layer
// is kept beside it, in NAME.held: a run that was interrupted goes on. Remove them when a layer is added.
func TestInside(t *testing.T) {
	enc, err := seekable.NewEncoder(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	s := &shelf{t: t, all: onDisk{}}
	var sum held
	var whole, named, content, least int
	fmt.Println("| layer | plain | gzip | whole | by name | by content | told by | in it, in any |\n|---|---|---|---|---|---|---|---|")
	for _, file := range inside(t) {
		h := s.hold(enc, file)
		w := h.whole()
		fmt.Printf("| %s | %d | %d | %d | %d | %d | %s | %.2f, %.2f |\n", h.Name, h.Plain, h.Gzip, w, h.Named, h.Content, h.Most, h.Best, h.Any)
		whole, named, content, least = whole+w, named+min(w, h.Named), content+min(w, h.Content), least+min(w, h.Named, h.Content)
		sum.Plain, sum.Gzip = sum.Plain+h.Plain, sum.Gzip+h.Gzip
		sum.Framing, sum.Naming, sum.Choosing = sum.Framing+h.Framing, sum.Naming+h.Naming, sum.Choosing+h.Choosing
	}
	fmt.Printf("| together, never longer than whole | %d | %d | %d | %d | %d | both: %d | |\n", sum.Plain, sum.Gzip, whole, named, content, least)
	of := func(n, m int) float64 { return float64(n) / float64(m) }
	fmt.Printf("of whole: by name %.3f, by content %.3f, both %.3f; of gzip: whole %.3f, both %.3f\n",
		of(named, whole), of(content, whole), of(least, whole), of(whole, sum.Gzip), of(least, sum.Gzip))
	mbs := func(d time.Duration) float64 { return float64(sum.Plain) / 1e6 / d.Seconds() }
	fmt.Printf("MB/s of one processor: whole %.0f, by name %.0f, by content with the choice %.0f\n", mbs(sum.Framing), mbs(sum.Naming), mbs(sum.Choosing))
	s.read()
}

// hold makes what a bundle can have of a layer, or takes what was kept.
func (s *shelf) hold(enc *seekable.Encoder, file string) *held {
	data, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	h := &held{}
	kept := strings.TrimSuffix(file, ".tar") + ".held"
	if f, err := os.Open(kept); err == nil {
		err = errors.Join(gob.NewDecoder(f).Decode(h), f.Close())
		if err != nil {
			s.t.Fatal(err)
		}
	} else {
		*h = held{Name: strings.TrimSuffix(filepath.Base(file), ".tar"), Plain: len(data), DiffID: digest.FromBytes(data), Gzip: gzipped(s.t, data)}
		s.make(enc, h, data)
	}
	s.add(h, file, data)
	var out bytes.Buffer
	if err := gob.NewEncoder(&out).Encode(h); err != nil {
		s.t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(kept+".part", out.Bytes(), 0o644), os.Rename(kept+".part", kept)); err != nil {
		s.t.Fatal(err)
	}
	return h
}

func (s *shelf) make(enc *seekable.Encoder, h *held, data []byte) {
	begin := used()
	for p := 0; p < len(data); p += seekable.FrameSize {
		h.Frames = append(h.Frames, enc.Encode(data[p:min(p+seekable.FrameSize, len(data))], nil))
	}
	h.Framing = used() - begin
	begin = used()
	byName, nameFrom := s.told(data, nil)
	h.Naming = used() - begin
	begin = used()
	c := s.resembling(data)
	byContent, contentFrom := s.told(data, c)
	h.Choosing = used() - begin
	h.Named, h.Content, h.Most, h.Best, h.Any = len(byName), len(byContent), c.most, c.best, c.any
	h.Delta, h.From = byContent, contentFrom
	if len(byName) < len(byContent) {
		h.Delta, h.From = byName, nameFrom
	}
	if len(h.Delta) >= h.whole() || len(h.From) == 0 {
		h.Delta, h.From = nil, nil
	}
}

// gzipped is how long the layer is as gzip, by the library that podman and buildah push with.
func gzipped(t *testing.T, data []byte) int {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Len()
}

// shelf are the layers so far.
type shelf struct {
	t        *testing.T
	olds     Olds
	files    []OldFile // of all layers, in their order
	all      onDisk
	sketches []sketch // of files; those of short files are nil
	held     []*held
}

func (s *shelf) add(h *held, file string, data []byte) {
	s.held = append(s.held, h)
	s.all[h.DiffID] = file
	scan(s.t, &s.olds, data)
	files := s.olds.layers[h.DiffID].files
	s.files = append(s.files, files...)
	if h.Sketches == nil {
		for _, f := range files {
			h.Sketches = append(h.Sketches, sketchOf(data[f.Offset:f.Offset+f.Size]))
		}
	}
	s.sketches = append(s.sketches, h.Sketches...)
}

// layers are the digests of those so far.
func (s *shelf) layers() []digest.Digest {
	var out []digest.Digest
	for _, h := range s.held {
		out = append(out, h.DiffID)
	}
	return out
}

// told writes a delta, with the choice of Plan where c does not know better.
func (s *shelf) told(data []byte, c *chosen) ([]byte, []digest.Digest) {
	p, err := s.olds.Plan(s.t.Context(), bytes.NewReader(data), s.layers())
	if err != nil {
		s.t.Fatal(err)
	}
	if c != nil {
		c.into(p)
	}
	for {
		var buf bytes.Buffer
		used, err := p.Write(s.t.Context(), &buf, bytes.NewReader(data), int64(len(data)), s.all)
		if err != nil {
			s.t.Fatal(err)
		}
		if len(used) == len(p.From) {
			return buf.Bytes(), used
		}
		p.From = used
	}
}

// read makes each layer from its frames and from its delta, one right after the other, three times.
func (s *shelf) read() {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		s.t.Fatal(err)
	}
	defer z.Close()
	for round := range 3 {
		var whole, told, both cost
		for _, h := range s.held {
			w := measured(s.t, h, func() [32]byte { return h.decode(s.t, z) })
			if h.Delta == nil {
				both.add(w)
				h.chain += w.wall
				continue
			}
			d := measured(s.t, h, func() [32]byte { return h.rebuild(s.t, s.all) })
			whole.add(w)
			told.add(d)
			h.chain += d.wall
		}
		fmt.Printf("round %d, with SHA-256: the layers that are deltas from frames %v, from deltas %v; deltas of frames: processor %.2f, wall %.2f; all layers: processor %.2f, wall %.2f\n", round+1, whole, told,
			told.cpu.Seconds()/whole.cpu.Seconds(), told.wall.Seconds()/whole.wall.Seconds(),
			(told.cpu+both.cpu).Seconds()/(whole.cpu+both.cpu).Seconds(), (told.wall+both.wall).Seconds()/(whole.wall+both.wall).Seconds())
	}
	s.depth()
}

// depth prints how the layers depend upon each other.
func (s *shelf) depth() {
	ends, depths := make(map[digest.Digest]time.Duration), make(map[digest.Digest]int)
	var longest, sum time.Duration
	n, deepest := 0, 0
	for _, h := range s.held {
		var start time.Duration
		depth := 0
		for _, d := range h.From {
			start, depth = max(start, ends[d]), max(depth, depths[d]+1)
		}
		ends[h.DiffID], depths[h.DiffID] = start+h.chain, depth
		longest, sum, deepest = max(longest, start+h.chain), sum+h.chain, max(deepest, depth)
		if h.Delta != nil {
			n++
		}
	}
	fmt.Printf("%d of %d layers are deltas, at most %d one upon another; the longest chain takes %.2f of the time of all\n",
		n, len(s.held), deepest, longest.Seconds()/sum.Seconds())
}

// cost is what a measurement took.
type cost struct{ wall, cpu time.Duration }

func (c *cost) add(o cost) { c.wall, c.cpu = c.wall+o.wall, c.cpu+o.cpu }

// String implements fmt.Stringer.
func (c cost) String() string {
	return fmt.Sprintf("%.2f s, %.2f s of processor", c.wall.Seconds(), c.cpu.Seconds())
}

func measured(t *testing.T, h *held, f func() [32]byte) cost {
	t.Helper()
	begin, cpu := time.Now(), used()
	sum := f()
	c := cost{time.Since(begin), used() - cpu}
	if digest.NewDigestFromBytes(digest.SHA256, sum[:]) != h.DiffID {
		t.Fatalf("%s: another layer", h.Name)
	}
	return c
}

// decode makes the layer from its frames.
func (h *held) decode(t *testing.T, z *zstd.Decoder) [32]byte {
	t.Helper()
	sum, buf := sha256.New(), make([]byte, 0, seekable.FrameSize)
	for _, f := range h.Frames {
		out, err := z.DecodeAll(f, buf[:0])
		if err != nil {
			t.Fatal(err)
		}
		sum.Write(out)
	}
	return [32]byte(sum.Sum(nil))
}

// rebuild makes the layer from its delta.
func (h *held) rebuild(t *testing.T, all onDisk) [32]byte {
	t.Helper()
	r, err := delta.NewReader(bytes.NewReader(h.Delta), int64(h.Plain), all)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{sum}, struct{ io.Reader }{r}, make([]byte, 256<<10)); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return [32]byte(sum.Sum(nil))
}
