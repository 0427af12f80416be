//go:build e2e

package harness

import (
	"archive/tar"
	"encoding/binary"
	"errors"
	"io"
	"os/exec"
	"testing"

	"github.com/nodeseal/nodeseal/internal/testenv"
)

// Member is a member of a bundle and the bytes of the file that hold it.
type Member struct {
	Name       string
	Begin, End int64
}

// The parts of the seek table of the zstd seekable format, version 0.1.0.
const (
	seekMagic  = 0x8F92EAB1
	seekFooter = 9 // number of frames, descriptor, magic
	hasSums    = 1 << 7
)

// Members reads where each member of the bundle at path lies, from the seek table
// and from what zstd makes of the file, without code of the program under test.
func Members(t testing.TB, path string) []Member {
	t.Helper()
	frames := readFrames(t, ReadFile(t, path))
	cmd := exec.CommandContext(t.Context(), testenv.NeedTool(t, "zstd"), "-dcq", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var members []Member
	counter := &counter{r: out}
	r := tar.NewReader(counter)
	for begin := int64(0); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		end := counter.n + (h.Size+511)/512*512
		members = append(members, frames.member(h.Name, begin, end))
		begin = end
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("zstd: %v", err)
	}
	return members
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// frame is where a frame begins in the file and in what it is decoded to.
type frame struct{ file, decoded int64 }

// frames are all frames, and at last where they end.
type frames []frame

// readFrames reads the seek table at the end of a bundle.
func readFrames(t testing.TB, data []byte) frames {
	t.Helper()
	footer := data[len(data)-seekFooter:]
	if binary.LittleEndian.Uint32(footer[5:]) != seekMagic {
		t.Fatal("the bundle has no seek table")
	}
	size := 8
	if footer[4]&hasSums != 0 {
		size = 12
	}
	count := int(binary.LittleEndian.Uint32(footer))
	table := data[len(data)-seekFooter-count*size:]
	at := frame{}
	all := frames{at}
	for i := range count {
		entry := table[i*size:]
		at.file += int64(binary.LittleEndian.Uint32(entry))
		at.decoded += int64(binary.LittleEndian.Uint32(entry[4:]))
		all = append(all, at)
	}
	return all
}

// member is the frames that hold the decoded bytes from begin to end.
func (f frames) member(name string, begin, end int64) Member {
	m := Member{Name: name, Begin: -1}
	for i := range len(f) - 1 {
		if f[i].decoded < end && f[i+1].decoded > begin {
			if m.Begin < 0 {
				m.Begin = f[i].file
			}
			m.End = f[i+1].file
		}
	}
	return m
}
