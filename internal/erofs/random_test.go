package erofs_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/nodeseal/nodeseal/internal/erofs"
)

// source is a repeatable stream of numbers: first those of data, then a sequence that
// the seed determines.
type source struct {
	data []byte
	seed uint64
	step uint64
}

// n is a number below limit.
func (s *source) n(limit int) int {
	if len(s.data) > 0 {
		b := s.data[0]
		s.data = s.data[1:]
		if limit <= 256 {
			return int(b) % limit
		}
	}
	s.step++
	sum := sha256.Sum256(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, s.seed), s.step))
	return int(binary.LittleEndian.Uint64(sum[:]) % uint64(limit))
}

func (s *source) shuffle(paths []string) {
	for i := range paths {
		j := s.n(i + 1)
		paths[i], paths[j] = paths[j], paths[i]
	}
}

func (s *source) pick(of ...int) int { return of[s.n(len(of))] }

// random is a tree of n entries.
func random(seed uint64, n int) tree { return randomFrom(&source{seed: seed}, n) }

func randomFrom(s *source, n int) tree {
	tr := tree{".": dir()}
	dirs, files := []string{"."}, []*file{}
	for i := range n {
		parent := dirs[s.n(len(dirs))]
		name := fmt.Sprint(i)
		switch s.n(6) {
		case 0:
			name += strings.Repeat("x", s.n(250))
		case 1:
			name = strings.Repeat("!", 1+s.n(3)) + name
		}
		p := name
		if parent != "." {
			p = parent + "/" + name
		}
		if len(p) > 3000 {
			continue
		}
		f := randomFile(s)
		switch kind := f.mode & typeMask; {
		case kind == typeDir:
			dirs = append(dirs, p)
		case len(files) > 0 && s.n(8) == 0:
			f = files[s.n(len(files))]
		default:
			files = append(files, f)
		}
		tr[p] = f
	}
	return tr
}

func randomFile(s *source) *file {
	f := &file{mode: uint32(s.n(0o10000)), mtime: epoch}
	if s.n(3) > 0 {
		f.uid, f.gid = uint32(s.pick(0, 1000, 65535, 65536, 1<<32-2)), uint32(s.pick(0, 5, 1<<20))
	}
	if s.n(3) > 0 {
		f.mtime = time.Unix(int64(s.n(1<<33))-1<<31, int64(s.n(1_000_000_000)))
	}
	switch s.n(8) {
	case 0:
		f.mode |= typeDir
	case 1:
		f.mode |= typeLnk
		f.data = []byte(strings.Repeat("t", s.pick(1, 20, 60, 1000, 4000, 4064, 4095)))
	case 2:
		f.mode |= uint32(s.pick(typeChr, typeBlk))
		f.dev = erofs.Dev{Major: uint32(s.n(1 << 12)), Minor: uint32(s.n(1 << 20))}
	case 3:
		f.mode |= uint32(s.pick(typeFIFO, typeSock))
	default:
		f.mode |= typeReg
		f.data = pattern(s.pick(0, 1, 100, 700, 2048, 2049, 4095, 4096, 4097, 8192, 20_000)+s.n(50), uint64(s.n(4)))
	}
	for range s.pick(0, 0, 0, 1, 2, 5) {
		// The kernel lists and gives user attributes of files and directories only.
		space := s.pick(0, 1)
		if kind := f.mode & typeMask; kind == typeReg || kind == typeDir {
			space = s.n(3)
		}
		name := []string{"trusted.", "security.", "user."}[space] + []string{"a", "b.c", strings.Repeat("n", 200)}[s.n(3)]
		f.xattr(name, string(pattern(s.pick(0, 1, 2, 3, 4, 40, 1000, 3000, 9000, 65_535), uint64(s.n(3)))))
	}
	return f
}
