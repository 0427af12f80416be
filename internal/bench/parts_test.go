//go:build bench

package bench

import (
	"bytes"
	"crypto/sha256"
	"io"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/nodeseal/nodeseal/bundle/seekable"
)

// TestParts measures a bundle against the sum of what cannot be left out of it, each by
// itself, with as many layers at once as there are processors: gunzip, a hash of what
// comes and one of what it expands to, and zstd at the level.
func TestParts(t *testing.T) {
	c := debian(t, 60)
	dir := t.TempDir()
	serve(t, c, dir)
	for level := seekable.DefaultLevel; level >= 1; level-- {
		u, size := mirror(t, dir, "--level", seekable.LevelName(level))
		p := measureParts(t, c, level)
		sum := p.gunzip + p.hashes + p.zstd
		t.Logf("level %-8s %s, %.2f cores, size %.3f of gzip | gunzip %.2fs, hashes %.2fs, zstd %.2fs | cpu %.2f of the sum | load %s",
			seekable.LevelName(level), u, u.cpu.Seconds()/u.wall.Seconds(), float64(size)/float64(c.compressed),
			p.gunzip.Seconds(), p.hashes.Seconds(), p.zstd.Seconds(), u.cpu.Seconds()/sum.Seconds(), load(t))
	}
}

// parts are processor times.
type parts struct{ gunzip, hashes, zstd time.Duration }

func measureParts(t testing.TB, c *corpus, level int) (all parts) {
	t.Helper()
	enc, err := seekable.NewEncoder(level, runtime.GOMAXPROCS(0))
	check(t, err)
	var mu sync.Mutex
	onThreads(t, c, func(path string) error {
		p, err := layerParts(path, enc)
		mu.Lock()
		defer mu.Unlock()
		all.gunzip += p.gunzip
		all.hashes += p.hashes
		all.zstd += p.zstd
		return err
	})
	return all
}

func layerParts(path string, enc *seekable.Encoder) (p parts, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return p, err
	}
	start := threadTime()
	sha256.Sum256(data)
	p.hashes += threadTime() - start
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return p, err
	}
	sum := sha256.New()
	plain := make([]byte, seekable.FrameSize)
	var frame []byte
	for n := len(plain); n == len(plain); {
		start = threadTime()
		n, _ = io.ReadFull(z, plain) // less than all at the end
		p.gunzip += threadTime() - start
		start = threadTime()
		sum.Write(plain[:n])
		p.hashes += threadTime() - start
		start = threadTime()
		frame = enc.Encode(plain[:n], frame[:0])
		p.zstd += threadTime() - start
	}
	return p, nil
}
