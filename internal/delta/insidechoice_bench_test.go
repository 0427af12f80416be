//go:build bench

package delta

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"math/bits"
	"path"
	"slices"

	"github.com/opencontainers/go-digest"
)

const (
	// sampled is of how many places a sketch has one.
	sampled = 256
	// sketchedFile is from which size on files are chosen by content.
	sketchedFile = 256 << 10
)

// sketch are hashes of the 16 bytes that a file has at places which their content chooses, sorted.
type sketch []uint64

func sketchOf(data []byte) sketch {
	if len(data) < sketchedFile {
		return nil
	}
	var s sketch
	for p := 0; p+hashLen <= len(data); p++ {
		if h := hash16(data[p:]); h%sampled == 0 {
			s = append(s, h)
		}
	}
	slices.Sort(s)
	return slices.Compact(s)
}

// hash16 is mixed so that its low bits choose.
func hash16(p []byte) uint64 {
	a, b := binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:])
	h := (a*0x9E3779B185EBCA87 ^ bits.RotateLeft64(b, 31)) * 0xC2B2AE3D27D4EB4F
	return h ^ h>>29
}

// common is how many hashes both have.
func (s sketch) common(o sketch) (n int) {
	for len(s) > 0 && len(o) > 0 {
		switch {
		case s[0] < o[0]:
			s = s[1:]
		case s[0] > o[0]:
			o = o[1:]
		default:
			s, o, n = s[1:], o[1:], n+1
		}
	}
	return n
}

// chosen is by which old files those of a layer are told: the ones that most of their sketch is in.
type chosen struct {
	choices []choice // old is nil where the choice of Plan stays
	most    string   // by what the largest file is told
	best    float64  // how much of all sketches is in the file that was chosen,
	any     float64  // and in any file of the layers before
}

// into changes a plan.
func (c *chosen) into(p *Plan) {
	from := make(map[digest.Digest]bool)
	for i, o := range c.choices {
		if o.old != nil && !p.choices[i].equal {
			p.choices[i] = o
		}
		if o := p.choices[i].old; o != nil {
			from[o.Layer] = true
		}
	}
	p.From = slices.Sorted(maps.Keys(from))
}

// resembling chooses for each long file of the layer.
func (s *shelf) resembling(layer []byte) *chosen {
	c := &chosen{most: "-"}
	var all sketch
	for _, o := range s.sketches {
		all = append(all, o...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	var places, best, anywhere, longest int
	for r := tar.NewReader(bytes.NewReader(layer)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			s.t.Fatal(err)
		}
		if !told(h) {
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			s.t.Fatal(err)
		}
		pick, most := choice{}, 0
		now := sketchOf(data)
		if equal(s.olds.of(s.layers()), sha256.Sum256(data)) == nil && len(data) <= MaxCompared {
			for i, o := range s.sketches {
				if n := now.common(o); n > most && s.files[i].Size <= MaxCompared {
					pick, most = choice{old: &s.files[i]}, n
				}
			}
		}
		c.choices = append(c.choices, pick)
		places, best, anywhere = places+len(now), best+most, anywhere+now.common(all)
		if pick.old != nil && len(data) > longest {
			longest, c.most = len(data), path.Base(pick.old.Path)
		}
	}
	if places > 0 {
		c.best, c.any = float64(best)/float64(places), float64(anywhere)/float64(places)
	}
	return c
}
