package image

import (
	"testing"

	"github.com/nodeseal/nodeseal/internal/memtest"
)

// A line of sha256sum is read as sha256sum writes it, or not at all.
func FuzzParseDigest(f *testing.F) {
	const sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	f.Add([]byte(sum + "  x.erofs\n"))
	f.Add([]byte(sum + " *x\n\n"))
	f.Add(memtest.Repeat(MaxDigest, "", " ", "\n"))
	f.Fuzz(func(t *testing.T, line []byte) {
		memtest.Hold(t, 4*int64(len(line))+64<<10, func() {
			d, err := ParseDigest("x", line)
			if err == nil && (d.Validate() != nil || string(line[:64]) != d.Encoded()) {
				t.Errorf("%q is %s", line, d)
			}
		})
	})
}
